"""A provider that is a package of its own, onnxruntime-qnn: it starts on this machine, and what it does not take falls back."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from kotlin_compiler import kept_folder

TARGET = Path(__file__).parents[2] / "targets" / "run_onnxruntime.py"
QNN = "onnxruntime-qnn==2.7.0"


@pytest.fixture(scope="module")
def qnn() -> Path:
    """The wheel unpacked into a folder of its own: it is no part of edgepack's environment."""
    from filelock import FileLock

    place = kept_folder("onnxruntime-qnn-2.7.0")
    with FileLock(place / "lock"):
        if not (place / "done").is_file():
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-d", str(place), QNN]
            if subprocess.run(command, capture_output=True, timeout=400, check=False).returncode:
                pytest.skip("pip does not give onnxruntime-qnn for this Python")
            (wheel,) = place.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(place / "content")
            wheel.unlink()
            (place / "done").touch()
    return place / "content"


def asked(pack: Path, providers: list[str], path: Path) -> dict:
    job = {"kind": "ops", "threads": 1, "length": 16, "runs": 2, "providers": providers}
    environment = os.environ | {"PYTHONPATH": str(path)}
    command = [sys.executable, str(TARGET), str(pack), json.dumps(job)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout.splitlines()[-1])


@pytest.mark.slow
def test_qnn_starts_here_and_all_that_it_does_not_take_is_told(old_pack, qnn):
    ops = asked(old_pack, ["QNNExecutionProvider"], qnn)["ops"]
    assert {op["provider"] for op in ops} <= {"QNNExecutionProvider", "CPUExecutionProvider"} and len(ops) > 5
    both = asked(old_pack, ["QNNExecutionProvider", "XnnpackExecutionProvider"], qnn)["error"]["problem"]
    assert "no XnnpackExecutionProvider" in both
    assert "no QNNExecutionProvider" in asked(old_pack, ["QNNExecutionProvider"], Path())["error"]["problem"]


def small_graph(path: Path) -> None:
    """In place of the pack's: of one length, with an op that QNN does not know."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    old = onnx.load(str(path), load_external_data=False).graph
    inputs = [helper.make_tensor_value_info(given.name, TensorProto.INT64, [1, 16]) for given in old.input]
    output = helper.make_tensor_value_info(old.output[0].name, TensorProto.FLOAT, [1, 4])
    matrix = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", [inputs[0].name], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Erf", ["numbers"], ["bent"]),
        helper.make_node("MatMul", ["bent", "matrix"], ["products"]),
        helper.make_node("Relu", ["products"], ["positive"]),
        helper.make_node("Softmax", ["positive"], [output.name]),
    ]
    weights = [numpy_helper.from_array(matrix, "matrix")]
    graph = helper.make_graph(nodes, "small", inputs, [output], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


@pytest.mark.slow
def test_qnn_takes_parts_of_a_graph_whose_texts_have_one_length(old_pack, qnn, tmp_path):
    """On Qualcomm's simulator; recorded/qnn_profile.json is such a run. A part bears the provider's name, and no hash of the graph."""
    pack = shutil.copytree(old_pack, tmp_path / "pack")
    small_graph(pack / "model.onnx")
    ops = asked(pack, ["QNNExecutionProvider"], qnn)["ops"]
    assert {"QNNExecutionProvider", "CPUExecutionProvider"} == {op["provider"] for op in ops}
    taken = {op["op"] for op in ops if op["provider"] == "QNNExecutionProvider"}
    assert taken and all(re.fullmatch(r"QNNExecutionProvider_\d{1,3}", name) for name in taken), ops
    assert [op["op"] for op in ops if op["provider"] == "CPUExecutionProvider"] == ["Erf"]
