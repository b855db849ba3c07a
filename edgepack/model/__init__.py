"""torch: checkpoints, data, training, evaluation. Importing the room loads nothing heavy; its modules do."""

import logging

# transformers imports torchao where the extra tflite brought it, which then tells of CUDA files that it misses.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
