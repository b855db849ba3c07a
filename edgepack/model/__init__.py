"""The torch side: checkpoints, tasks, data and quality of a model before it is exported."""

import logging

# transformers imports torchao where the extra tflite brought it, which then tells of CUDA files that it misses.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
