"""Tries edgepack's abilities on a tiny random model of a family. Each check gives a sentence, or raises what is wrong."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from edgepack.compress.student_init import make_student
from edgepack.measure.answers import answer, difference
from edgepack.model.checkpoint import load_checkpoint, quiet_transformers, save_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.source import find_model
from edgepack.model.structure import by_ffn, count_params, depth_of, ffns_of, kv_groups_of, layer_shapes, layers_of, matrix_of
from edgepack.model.surgery import cut_ffn, cut_heads, keep_layers
from edgepack.model.tiny_model import tiny_model
from edgepack.plan.family import TINY, Family
from edgepack.plan.plan import OPSET
from edgepack.plan.runtime import Format, python_runtimes
from edgepack.plan.steps import Export
from edgepack.tasks import task_named
from edgepack.tasks.common.task import Features, Outputs, Task

_VOCAB, _LENGTHS, _POSITIONS = 400, (7, 20, 33), 40
_HEADS, _NEURONS = (0, 1, 3), (99, 50)  # that stay: counts that no two layers share
_CLOSE = 1e-4  # of two computations in fp32
_HEAD_DIM = TINY[1] // TINY[2]


@dataclass(frozen=True)
class Subject:
    """A tiny model of the family, and a folder for files."""

    family: Family
    folder: Path

    @cached_property
    def task(self) -> Task:
        return task_named("text-generation" if self.family.causal else "text-classification")

    @cached_property
    def model(self) -> nn.Module:
        with quiet_transformers():
            return tiny_model(self.family, self.task.name, vocab_size=_VOCAB)

    @cached_property
    def features(self) -> list[Features]:
        return [Features([(7 * at * length) % (_VOCAB - 5) + 5 for at in range(length)], [0] * length, length) for length in _LENGTHS]

    def outputs(self, model: nn.Module) -> Outputs:
        return run_model(model, self.task, self.features, "")

    def uneven(self) -> nn.Module:
        """Two layers with different numbers of heads and neurons, the second without attention."""
        model = copy.deepcopy(self.model)
        keep_layers(model, (0, depth_of(model) - 1))
        cut_heads(model, _whole_groups(model, [_HEADS, ()]))
        cut_ffn(model, [range(width) for width in by_ffn(model, _NEURONS[: len(layers_of(model))])])
        return model


def _is_made(subject: Subject) -> str:
    return f"a {type(subject.model).__name__} of {count_params(subject.model):,} parameters"


def _has_paths(subject: Subject) -> str:
    family, layer = subject.family, layers_of(subject.model)[0]
    paths = {
        name: getattr(family, name)
        for name in ("query", "key", "value", "attention_output", "attention", "ffn_out", "norm_before_attention", "norm_before_ffn")
    }
    paths |= {f"ffn_in[{index}]": path for index, path in enumerate(family.ffn_in)}
    known = {name for name, _ in layer.named_modules()}
    missing = [f"{name} = {path!r}" for name, path in paths.items() if path and path not in known]
    if missing:
        raise ValueError(f"a layer has no module at {', '.join(missing)}; it has {', '.join(sorted(known - {''}))}")
    return f"{len(layers_of(subject.model))} layers with weights of their own"


def _is_counted(subject: Subject) -> str:
    save_checkpoint(subject.model, subject.folder / "whole")
    shape = find_model(str(subject.folder / "whole")).shape(subject.task.name)
    counted = count_params(subject.model)
    if shape.params != counted:
        raise ValueError(f"the model has {counted:,} parameters, but its config gives {shape.params:,}")
    if list(shape.stored_layers) != layer_shapes(subject.model):
        raise ValueError(f"the config states layers of {shape.stored_layers[0]}, the model has {layer_shapes(subject.model)[0]}")
    return "those that follow from the config alone"


def _loses_heads(subject: Subject) -> str:
    masked, cut, family = copy.deepcopy(subject.model), copy.deepcopy(subject.model), subject.family
    keep = _whole_groups(cut, [_HEADS, (0, 1, 2, 3), (), (2,)])
    for layer, heads in zip(layers_of(masked), keep, strict=True):
        gone = [head * _HEAD_DIM + at for head in range(TINY[2]) if head not in heads for at in range(_HEAD_DIM)]
        _silence(layer.get_submodule(family.attention_output), gone)
    cut_heads(cut, keep)
    return _same(subject.outputs(cut), subject.outputs(masked))


def _loses_neurons(subject: Subject) -> str:
    masked, cut = copy.deepcopy(subject.model), copy.deepcopy(subject.model)
    for owner in ffns_of(masked):
        _silence(owner.get_submodule(subject.family.ffn_out), range(_NEURONS[0], TINY[3]))
    cut_ffn(cut, [range(_NEURONS[0]) for _ in ffns_of(cut)])
    return _same(subject.outputs(cut), subject.outputs(masked))


def _reloads(subject: Subject) -> str:
    model = subject.uneven()
    save_checkpoint(model, subject.folder / "uneven")
    return _same(subject.outputs(load_checkpoint(subject.folder / "uneven")), subject.outputs(model))


def _becomes_a_student(subject: Subject) -> str:
    hidden = getattr(subject.model.config, subject.family.config_hidden) // 2
    student = make_student(copy.deepcopy(subject.model), 2, hidden, subject.features)
    save_checkpoint(student, subject.folder / "student")
    return _same(subject.outputs(load_checkpoint(subject.folder / "student")), subject.outputs(student))


def _exports_to_onnx(subject: Subject) -> str:
    from edgepack.export.onnx_decoder import export_decoder, runnable_decoder
    from edgepack.export.onnx_export import export_onnx, runnable
    from edgepack.export.onnx_optimization import optimize_onnx

    model, details = subject.uneven(), []
    for batch in (True,) if subject.family.causal else (True, False):  # an encoder's file for one text, which builds make, is another graph
        folder, step = subject.folder / ("onnx" if batch else "onnx-one-text"), Export(opset=OPSET, batch=batch, why="")
        folder.mkdir()
        if subject.family.causal:
            export_decoder(model, step, folder)
            described = runnable_decoder(model, subject.task)
        else:
            export_onnx(model, subject.task, step, folder / "graph.onnx")
            optimize_onnx(folder / "graph.onnx", folder)
            described = runnable(model, subject.task, batch=batch)
        (folder / "runnable.json").write_text(json.dumps(described.as_json()))
        details.append(_answers(subject, model, folder, "onnx", padded=batch))
    return max(details, key=len)


def _exports_to_tflite(subject: Subject) -> str:
    from edgepack.export.tflite_decoder import export_tflite_decoder, runnable_tflite_decoder
    from edgepack.export.tflite_export import MODEL_FILE, export_tflite, runnable_tflite

    model, folder = subject.uneven(), subject.folder / "tflite"
    folder.mkdir()
    if subject.family.causal:
        export_tflite_decoder(model, _POSITIONS, folder / MODEL_FILE)
        described = runnable_tflite_decoder(model, subject.task, _POSITIONS, weight_cache=True)
    else:
        export_tflite(model, subject.task, (_POSITIONS,), folder / MODEL_FILE)
        described = runnable_tflite(model, subject.task, (_POSITIONS,))
    (folder / "runnable.json").write_text(json.dumps(described.as_json()))
    return _answers(subject, model, folder, "tflite")


CHECKS: dict[str, Callable[[Subject], str]] = {
    "tiny model": _is_made,
    "paths of modules": _has_paths,
    "parameters": _is_counted,
    "heads": _loses_heads,
    "FFN neurons": _loses_neurons,
    "layers, and a checkpoint that reloads": _reloads,
    "student": _becomes_a_student,
}
EXPORTS: dict[str, Callable[[Subject], str]] = {
    "ONNX": _exports_to_onnx,
    "TFLite": _exports_to_tflite,
}


def _answers(subject: Subject, model: nn.Module, folder: Path, format: Format, padded: bool = True) -> str:
    """The file against torch: texts alone, padded to the longest if it takes such, and token by token where the model writes."""
    runtime = next(facts.name for facts in python_runtimes() if facts.format == format)
    expected = subject.outputs(model)
    ways: list[dict[str, int]] = [{"batch": 1}]
    ways += [{"batch": len(_LENGTHS)}] if padded else []
    ways += [{"at_once": 1}] if subject.family.causal else []
    return max((_same(answer(folder, runtime, subject.features, 1, exact=True, **way), expected) for way in ways), key=len)


def _same(outputs: Outputs, expected: Outputs) -> str:
    furthest = max(difference(have, reference) for have, reference in zip(outputs, expected, strict=True))
    if not furthest < _CLOSE:
        raise ValueError(f"outputs differ from torch's by {furthest:.2g}, more than {_CLOSE:g}")
    return "the outputs are torch's"


def _silence(linear: nn.Module, columns: Sequence[int]) -> None:
    matrix_of(linear).data[:, list(columns)] = 0


def _whole_groups(model: nn.Module, keep: Sequence[Sequence[int]]) -> list[list[int]]:
    """Whole groups where heads share a key and value head; one list where layers share their weights."""
    group = kv_groups_of(model)
    whole = [sorted({member for head in heads for member in range(head // group * group, (head // group + 1) * group)}) for heads in keep]
    return whole[: len(layers_of(model))]
