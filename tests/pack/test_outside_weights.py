"""A graph that names a file which the pack does not list is refused, wherever in the graph the name stands."""

import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import check_files, read_manifest, seal
from edgepack.pack.outside_weights import names_outside


def outside(name: str, location: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="location", value=location)
    return tensor


def inside(name: str) -> TensorProto:
    return numpy_helper.from_array(np.zeros(300, np.float32), name)


def graph(*initializers: TensorProto, nodes: tuple = ()) -> onnx.GraphProto:
    return helper.make_graph([helper.make_node("Identity", ["x"], ["y"]), *nodes], "g", [], [], initializer=initializers)


def in_constant() -> onnx.ModelProto:
    return helper.make_model(graph(nodes=(helper.make_node("Constant", [], ["c"], value=outside("c", "s")),)))


def in_branch() -> onnx.ModelProto:
    return helper.make_model(
        graph(nodes=(helper.make_node("If", ["b"], ["o"], then_branch=graph(outside("w", "s")), else_branch=graph()),))
    )


def in_sparse() -> onnx.ModelProto:
    model = helper.make_model(graph())
    model.graph.sparse_initializer.add(values=outside("v", "s"), indices=inside("i"))
    return model


def in_function() -> onnx.ModelProto:
    model = helper.make_model(graph())
    node = helper.make_node("Constant", [], ["c"], value=outside("c", "s"))
    model.functions.add(name="f", domain="d").node.append(node)
    return model


def in_compiled(**attributes) -> onnx.ModelProto:
    return helper.make_model(graph(nodes=(helper.make_node("EPContext", ["x"], ["z"], domain="com.microsoft", **attributes),)))


def in_compiled_branch() -> onnx.ModelProto:
    node = in_compiled(embed_mode=0, ep_cache_context="s").graph.node[1]
    branch = helper.make_node("If", ["b"], ["o"], then_branch=graph(nodes=(node,)), else_branch=graph())
    return helper.make_model(graph(nodes=(branch,)))


PLACES = {
    "compiled": lambda: in_compiled(embed_mode=0, main_context=1, ep_cache_context="s", source="x"),
    "compiled in a branch": in_compiled_branch,
    "compiled with its model": lambda: in_compiled(embed_mode=1, ep_cache_context="content", onnx_model_filename="s"),
    "initializer": lambda: helper.make_model(graph(inside("a"), outside("w", "s"), inside("b"))),
    "constant": in_constant,
    "branch": in_branch,
    "sparse": in_sparse,
    "function": in_function,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_name_is_read_wherever_it_stands_in_a_graph(place, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(PLACES[place]().SerializeToString())
    assert names_outside(path, "onnx") == {"s"}


def test_a_compiled_part_that_lies_in_the_graph_names_no_file(tmp_path):
    path = tmp_path / "model.onnx"
    for attributes in ({"embed_mode": 1}, {}):
        path.write_bytes(in_compiled(ep_cache_context="s" * 9000, **attributes).SerializeToString())
        assert names_outside(path, "onnx") == frozenset()


def test_what_stands_twice_in_a_compiled_part_counts_twice(tmp_path):
    """One reader takes the first, another the last."""
    model = in_compiled(embed_mode=0, ep_cache_context="s")
    for name, value in (("embed_mode", 1), ("ep_cache_context", "model.onnx.data")):
        model.graph.node[1].attribute.append(helper.make_attribute(name, value))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert names_outside(tmp_path / "model.onnx", "onnx") == {"s", "model.onnx.data"}


def test_a_tflite_file_names_groups_of_outside_buffers(tmp_path):
    import flatbuffers

    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="no ai-edge-litert: pip install 'edgepack[tflite]'")
    for groups, expected in ((["weights.bin", "../x"], {"weights.bin", "../x"}), ([], set()), (None, set())):
        model, builder = schema.ModelT(), flatbuffers.Builder(0)
        model.externalBufferGroups = None if groups is None else [schema.ExternalBufferGroupT(name=name) for name in groups]
        builder.Finish(model.Pack(builder), b"TFL3")
        path = tmp_path / "model.tflite"
        path.write_bytes(builder.Output())
        assert names_outside(path, "tflite") == expected


@pytest.mark.parametrize("file_format", ["onnx", "tflite"])
def test_damaged_bytes_are_a_message_or_are_read(file_format, tmp_path):
    """No byte of a graph makes a traceback, whatever it becomes."""
    path = tmp_path / "model"
    whole = PLACES["branch"]().SerializeToString() if file_format == "onnx" else b"\x14\0\0\0TFL3" + bytes(range(24)) * 9
    draw, refused = np.random.default_rng(0), 0
    for _ in range(600):
        damaged = bytearray(whole)
        for at in draw.integers(0, len(whole), 3):
            damaged[at] = draw.integers(0, 256)
        path.write_bytes(damaged[: draw.integers(8, len(whole) + 1)])
        try:
            names_outside(path, file_format)
        except EdgepackError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("location", ["notes.bin", "report.json", "../model.onnx.data", "/etc/hostname", "golden.jsonl", ""])
def test_a_pack_whose_graph_names_a_file_that_is_no_listed_model_file_is_refused(pack_folder, tmp_path, location):
    folder = tmp_path / "pack"
    shutil.copytree(pack_folder, folder)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    model = onnx.load(folder / manifest.model, load_external_data=False)
    model.graph.initializer.append(outside("more", location))
    (folder / manifest.model).write_bytes(model.SerializeToString())
    seal(folder, manifest)
    with pytest.raises(EdgepackError, match=r"model\.onnx in .* names .* as a file of its weights or of a compiled part"):
        check_files(folder, read_manifest(folder))


def test_a_pack_whose_graph_names_the_file_of_a_compiled_part_is_refused(pack_folder, tmp_path):
    folder = tmp_path / "pack"
    shutil.copytree(pack_folder, folder)
    manifest = read_manifest(folder)
    model = onnx.load(folder / manifest.model, load_external_data=False)
    model.graph.node.append(in_compiled(embed_mode=0, ep_cache_context="../engine.bin").graph.node[1])
    (folder / manifest.model).write_bytes(model.SerializeToString())
    seal(folder, manifest)
    with pytest.raises(EdgepackError, match=r"model\.onnx in .* names '\.\./engine\.bin'"):
        check_files(folder, read_manifest(folder))
