"""onnxruntime-genai's own model builder: `genai_model.py MODEL OUT PRECISION`, with every weight it can share stored once."""

import os
import sys

OPTIONS = {
    "int4": ["int4_block_size=32", "int4_accuracy_level=4", "int4_op_types_to_quantize=MatMul/Gather", "shared_embeddings=true"],
    "int8": ["int4_accuracy_level=4"],
}


def main() -> None:
    model, out, precision = sys.argv[1:]
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    where = ["-i", model, "-o", out, "-c", f"{out}/cache", "-e", "cpu", "-p", precision]
    os.execv(sys.executable, [*builder, *where, "--extra_options", *OPTIONS[precision]])  # what the builder says last is what went wrong


if __name__ == "__main__":
    main()
