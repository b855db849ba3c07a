"""optimum-onnx: export, then dynamic int8 per channel. Runs in an environment of its own: `optimum_int8.py MODEL OUT TASK SCHEME`.

Schemes are optimum's own, per channel: avx512_vnni (u8 x s8), avx2 (u8 x u8: cannot saturate), avx512 with 7-bit weights.
"""

import shutil
import sys
from pathlib import Path

from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig

SCHEMES = {
    "avx512_vnni": lambda: AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True),
    "avx2": lambda: AutoQuantizationConfig.avx2(is_static=False, per_channel=True),
    "avx512-7-bit": lambda: AutoQuantizationConfig.avx512(is_static=False, per_channel=True, reduce_range=True),
}


def main() -> None:
    model, out, task, scheme = sys.argv[1:]
    folder = Path(out)
    exported = folder / "fp32"
    main_export(model, exported, task=task, library_name="transformers")
    ORTQuantizer.from_pretrained(exported, file_name="model.onnx").quantize(SCHEMES[scheme](), save_dir=folder, file_suffix="")
    shutil.rmtree(exported)


if __name__ == "__main__":
    main()
