"""What a smaller runtime is built from: read by onnxruntime's own tools, and it answers as the pack does."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import read_manifest, seal
from edgepack.ship.reduced import FOLDER, LIST_FILE, MODEL_FILE
from edgepack.ship.shipping import ship

# In a process of its own, as torch lives in this one. It prints what the build's own parser makes of the list: the operators, the lines of
# C++ that limit their kernels' types, and whether a kernel of Gather for texts would be built.
_PARSED = """
import sys
from onnxruntime.tools.reduced_build_config_parser import parse_config
ops, types = parse_config(sys.argv[1], True)
print(sorted((domain or "ai.onnx", op) for domain, opsets in ops.items() for names in opsets.values() for op in names))
print(types.get_cpp_entries())
print([types.is_typed_registration_needed("ai.onnx", "Gather", kind) for kind in ("float", "std::string")])
"""


def operators_of(line: str) -> set[tuple[str, str]]:
    """(domain, operator) of a line, without the types in braces."""
    domain, _, rest = line.split(";", 2)
    bare, depth = "", 0
    for character in rest:
        depth += {"{": 1, "}": -1}.get(character, 0)
        bare += character if depth == 0 and character != "}" else ""
    return {(domain, operator) for operator in bare.split(",")}


@pytest.mark.parametrize("kind", ["pack_folder", "stories_pack"])
def test_the_list_names_every_operator_and_onnxruntimes_parser_reads_it(request, kind, tmp_path, caplog):
    pack = request.getfixturevalue(kind)
    shipped = ship(pack, "android", tmp_path / "out", package="com.example.intents", reduced_runtime=True)
    assert not [record for record in caplog.records if record.name.startswith("ort_format_model")]
    place = tmp_path / "out" / FOLDER
    text = (place / LIST_FILE).read_text()
    listed = {operator for line in text.splitlines() if not line.startswith("#") for operator in operators_of(line)}
    nodes = onnx.load(str(pack / "model.onnx"), load_external_data=False).graph.node
    assert {(node.domain or "ai.onnx", node.op_type) for node in nodes} <= listed
    assert str(tmp_path) not in text and str(Path(pack)) not in text
    done = subprocess.run([sys.executable, "-c", _PARSED, str(place / LIST_FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    operators, limits, built = (eval(line) for line in done.stdout.splitlines())
    assert {tuple(entry) for entry in operators} == listed
    typed = {name for domain, name in listed if re.search(rf"\b{name}{{", text)}
    assert built == [True, False] and limits and {re.search(r"Domain, (\w+),", line)[1] for line in limits} <= typed, (limits, typed)
    assert (place / MODEL_FILE).read_bytes()[4:8] == b"ORTM"  # the flatbuffer's own mark
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "--include_ops_by_config" in readme and "no smaller\nbuild was made here" in readme
    sizes = [size for size in shipped.sizes if "not measured here" in size.source]
    assert [size.what for size in sizes] == ["a full build, arm64", "a build with one model's operators alone, arm64"]


def test_it_is_for_onnx_packs_on_platforms_that_build_a_runtime(pack_folder, tmp_path):
    with pytest.raises(EdgepackError, match=r"(?s)--reduced-runtime is nothing that the module for web knows.*ship --for android"):
        ship(pack_folder, "web", tmp_path / "out", reduced_runtime=True)
    copy = shutil.copytree(pack_folder, tmp_path / "copy")
    manifest = read_manifest(copy)
    seal(copy, manifest.model_copy(update={"format": "tflite"}))
    with pytest.raises(EdgepackError, match="the pack is a TFLite file"):
        ship(copy, "android", tmp_path / "out", package="com.example.intents", reduced_runtime=True)
