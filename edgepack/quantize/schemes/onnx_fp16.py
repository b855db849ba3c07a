"""Encoders in ONNX: weights stored in fp16, products computed in fp32. Half the file of an fp32 export; answers differ in the fourth digit.

onnxruntime's CPU kernels of MatMul, Gemm and attention take fp32 only (1.31: a graph in fp16 gets a Cast before and behind
each), so the runtime turns the matrices to fp32 once, as it loads; rows of embeddings are turned as they are read.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgepack.export.file_names import DATA_FILE, MODEL_FILE
from edgepack.export.onnx_graph import Graph, drop_unread, put_nodes
from edgepack.export.onnx_weights import load_mapped, read_weight, weights_file
from edgepack.pack.runnable import Runnable
from edgepack.plan.precision import FEWEST_WEIGHTS
from edgepack.plan.steps import Quantize
from edgepack.quantize.calibration import CalibrationTexts
from edgepack.quantize.schemes import Candidate

_LARGEST = np.finfo(np.float16).max


def candidates(step: Quantize, exported: Path, texts: CalibrationTexts) -> Iterator[Candidate]:
    """One candidate: every large tensor whose values fit into fp16 is stored in fp16."""
    tensors = load_mapped(exported / MODEL_FILE).graph.initializer
    in_float = frozenset(tensor.name for tensor in tensors if _is_large(tensor) and not _fits(tensor))  # beyond fp16's range
    yield Candidate(step.precision, step.precision, partial(store_halves, exported), {}, in_float=in_float)


def runnable(before: Runnable) -> Runnable:
    """The session folds each Cast of a matrix as it opens; without that it would cast them all in each inference."""
    return before.model_copy(update={"session": before.session.model_copy(update={"graph_optimization_level": "basic"})})


def store_halves(source: Path, target: Path) -> None:
    """From the folder of a finished fp32 file to one with the same file, its matrices in fp16."""
    model = load_mapped(source / MODEL_FILE)
    graph = Graph(model)
    halved = [name for name, tensor in graph.initializers.items() if _fits(tensor)]
    casts = []
    for name in halved:
        casts += _casts(graph, name)
    put_nodes(model, _in_order(graph, casts))
    with weights_file(target / DATA_FILE) as file:
        stored = []
        for name, tensor in graph.initializers.items():
            values = read_weight(tensor)
            stored.append(file.put(f"{name}/half", values.astype(np.float16)) if name in halved else file.put(name, values))
        del model.graph.initializer[:]
        model.graph.initializer.extend(stored)
    drop_unread(model)
    onnx.save(model, target / MODEL_FILE)


def _is_large(tensor: TensorProto) -> bool:
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1 and bool(np.prod(tensor.dims) >= FEWEST_WEIGHTS)


def _fits(tensor: TensorProto) -> bool:
    """Whether a tensor is a matrix of fp32 that is large enough and keeps its values in fp16."""
    return _is_large(tensor) and bool(np.abs(read_weight(tensor)).max() <= _LARGEST)


def _casts(graph: Graph, name: str) -> list[onnx.NodeProto]:
    """Makes the readers of `name` read its half: behind a Gather the rows are cast, anywhere else the matrix."""
    casts = []
    for node in graph.readers.get(name, []):
        if node.op_type == "Gather" and node.input[0] == name:
            rows, half_rows = node.output[0], f"{node.output[0]}/half"
            node.input[0], node.output[0] = f"{name}/half", half_rows
            casts.append(helper.make_node("Cast", [half_rows], [rows], name=rows, to=TensorProto.FLOAT))
        elif not any(cast.output[0] == name for cast in casts):
            casts.append(helper.make_node("Cast", [f"{name}/half"], [name], name=name, to=TensorProto.FLOAT))
    return casts


def _in_order(graph: Graph, casts: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Casts of matrices first, those of rows right behind the Gather that reads them."""
    outputs = {name for node in graph.nodes for name in node.output}
    behind = {cast.input[0]: cast for cast in casts if cast.input[0] in outputs}
    nodes = [cast for cast in casts if cast.input[0] not in outputs]
    for node in graph.nodes:
        nodes.append(node)
        nodes += [behind[name] for name in node.output if name in behind]
    return nodes
