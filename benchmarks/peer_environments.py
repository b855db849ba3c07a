"""Environments of their own for tools that edgepack is compared with: their dependencies exclude one another and edgepack's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

TORCH = "torch==2.13.0"  # first and alone: where a CPU build of it lies at hand, pip takes that one
ENVIRONMENTS = {  # name: what is installed, one pip after the other
    "optimum": [
        [TORCH],
        [
            "optimum-onnx==0.1.0",
            "optimum==2.1.0",
            "transformers==4.57.6",
            "huggingface_hub==0.36.2",
            "onnx==1.23.2",
            "onnxruntime==1.31.1",
        ],
    ],
    "olive": [[TORCH], ["olive-ai==0.13.0", "transformers==4.57.6", "onnx==1.23.2", "onnxruntime==1.31.1", "onnxscript==0.7.2"]],
    "openvino": [[TORCH], ["openvino==2026.4.1", "nncf==3.4.0", "transformers==5.23.0"]],
    "genai": [[TORCH], ["onnxruntime-genai==0.18.0", "onnxruntime==1.31.1", "onnx==1.23.2", "onnx-ir==1.1.0", "transformers==5.23.0"]],
    "llama.cpp": [["llama-cpp-python==0.3.36"]],
    "tflite-runtime": [["tflite-runtime==2.14.0", "numpy<2"]],
    "plain onnxruntime": [["onnxruntime==1.31.1", "numpy==2.4.6", "tokenizers==0.23.2"]],
}


_OF_A_SHELL = 128


class NotThere(Exception):
    """A peer that could not be installed or built, and why: a row of the table, never the end of a run."""


def python_of(name: str, folder: Path) -> Path:
    """The environment's interpreter; it is made where `folder` does not have it as it stands above. NotThere: pip failed."""
    place = folder.absolute() / name.replace(" ", "-")
    python, done = place / "bin" / "python", place / "installed.txt"
    wanted = "\n".join(" ".join(group) for group in ENVIRONMENTS[name])
    if done.is_file() and done.read_text() == wanted:
        return python
    print(f"environment {name}: {', '.join(ENVIRONMENTS[name][-1])}", file=sys.stderr, flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(place)], name)
    for group in ENVIRONMENTS[name]:
        _run([str(python), "-m", "pip", "install", "--quiet", *group], name)
    done.write_text(wanted)
    return python


def environment() -> dict[str, str]:
    """The parent's variables, less what would change a child's imports or threads; no hub is asked for anything."""
    dropped = ("PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    remaining = {key: value for key, value in os.environ.items() if key not in dropped}
    return remaining | {
        "HF_HUB_OFFLINE": "1",
        "OLIVE_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONDONTWRITEBYTECODE": "1",
        **_built_without_amx(),
    }


def last_line(text: str) -> str:
    """What a tool said last, short enough for a cell of a table."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error") or "Error:" in line]
    return (errors or lines or ["it said nothing"])[-1][:160].replace("|", "/")


def why_it_ended(done: "subprocess.CompletedProcess[str]") -> str:
    """Of a command that failed: what it said last, and the signal where one ended it, of which it cannot speak itself."""
    said_last = last_line(done.stderr or done.stdout)
    signals = {each.value: each.name for each in signal.Signals}
    number = -done.returncode if done.returncode < 0 else done.returncode - _OF_A_SHELL  # timed.py counts signals as shells do
    return f"ended by {signals[number]}; {said_last}" if number in signals else said_last


def _built_without_amx() -> dict[str, str]:
    """llama.cpp built for a CPU with AMX dies of a general protection fault in its first product (seen with 0.3.36)."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file() or " amx_int8" not in cpuinfo.read_text():
        return {}
    wanted = ("AVX2", "FMA", "F16C", "AVX512", "AVX512_VNNI", "AVX512_VBMI")
    return {"CMAKE_ARGS": " ".join(["-DGGML_NATIVE=OFF", *(f"-DGGML_{name}=ON" for name in wanted)])}


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if done.returncode != 0:
        raise NotThere(f"{name} could not be installed: {why_it_ended(done)}")
