"""llama.cpp's quantizer: `llama_model.py GGUF OUT TYPE` writes OUT/model.gguf from a GGUF file of any type, by way of fp32."""

import ctypes
import sys
from pathlib import Path

import llama_cpp

TYPES = {
    "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
}


def main() -> None:
    source, out, kind = sys.argv[1:]
    Path(out).mkdir(parents=True, exist_ok=True)
    wanted = llama_cpp.llama_model_quantize_default_params()
    wanted.ftype, wanted.allow_requantize, wanted.nthread = TYPES[kind], True, 1
    if llama_cpp.llama_model_quantize(source.encode(), f"{out}/model.gguf".encode(), ctypes.byref(wanted)) != 0:
        sys.exit(f"llama.cpp could not quantize to {kind}")


if __name__ == "__main__":
    main()
