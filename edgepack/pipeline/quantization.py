"""Quantizes an exported file: the narrowest recipe that passes the gate. What was tried, and why it was not enough, is kept.

What the user fixed is never widened beyond it. There is no way back to fp32: a plan chooses less because fp32 breaks a budget.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.measure.answers import answer
from edgepack.model.material import Material
from edgepack.pack.attempts import Attempt, Sensitive
from edgepack.pack.runnable import Runnable
from edgepack.pipeline.gate import judge_attempt
from edgepack.plan.plan import Plan
from edgepack.plan.steps import Quantize
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features, Outputs

if TYPE_CHECKING:
    import onnx

    from edgepack.quantize.int8_search import Texts

GRAPH_FILE = "graph.onnx"  # an export before it is finished: what quantization starts from
_UNFINISHED = "quantized.onnx"
CALIBRATION_TEXTS = 64
_LEAST_TEXTS = 8  # fewer say little of what a scale must hold
_CALIBRATION_BLOCKS, _CALIBRATION_TOKENS = 32, 8192  # of a decoder's running text, in blocks of 256 tokens; single texts are more
_LEAST_TOKENS = 512  # GPTQ's moments of fewer fit the texts rather than the language
GATE_ROWS = 1000  # of the dev split: they tell half a point apart; an encoder answers them in seconds


@dataclass(frozen=True)
class _Candidate:
    recipe: str
    precision: str
    write: Callable[[Path], None]  # files that the runtime can open, into a folder
    details: dict[str, float | int | str]
    sensitivity: tuple[Sensitive, ...] = ()


@dataclass(frozen=True)
class _Judge:
    """Held-out rows, and what the fp32 export says of them."""

    material: Material
    plan: Plan
    rows: Sequence[Row]
    features: Sequence[Features]
    expected: Outputs
    runnable: Runnable  # of the fp32 export, and of all that is made from it

    def judge(self, folder: Path, candidate: _Candidate) -> Attempt:
        from edgepack.quantize.products import products_of

        found = _answers(self.plan, folder, self.features, f"judge {candidate.recipe}")
        judged = judge_attempt(self.material.task, found, self.expected, self.features, self.rows, self.material.labels)
        drop, limit = judged["score_drop"], self.plan.budget.score_drop
        return Attempt(
            recipe=candidate.recipe,
            precision=candidate.precision,
            file_mb=round(sum(path.stat().st_size for path in folder.glob(f"{self.runnable.model}*")) / 1e6, 3),
            products=products_of(folder, self.runnable),
            limit=limit,
            passed=None if drop is None or limit is None else drop <= limit,
            details=candidate.details,
            sensitivity=candidate.sensitivity,
            **judged,
        )


def check_calibration(material: Material, plan: Plan) -> None:
    """EdgepackError where int8 was asked for with settings that so few texts cannot choose."""
    count = len(material.rows("train"))
    asked = [name for name in ("smoothing", "sensitive") if getattr(material.recipe, name)]
    asked += ["activations static"] if material.recipe.activations == "static" else []
    if asked and count < _LEAST_TEXTS and any(isinstance(step, Quantize) for step in plan.steps):
        raise EdgepackError(
            f"--{asked[0]} calibrates on texts of the train split, which has {count}: {_LEAST_TEXTS} at least",
            "give more data, or leave the flag out",
        )


def quantize_file(material: Material, plan: Plan, exported: Path, step: Quantize, folder: Path) -> list[Attempt]:
    """Leaves a file in `folder`, ready for its runtime; returns what was tried, and what was chosen last.

    Where no recipe passes, the one that loses least is chosen, and its Attempt says that it failed.
    """
    judge = _judge(material, plan, exported)
    ways = {"blockwise": _blockwise, "storage": _halves}
    way = _tflite if plan.format == "tflite" else ways.get(step.method, _in_int8)
    candidates = way(material, exported, step)
    attempts: list[Attempt] = []
    for candidate in candidates:
        place = folder / f"attempt-{len(attempts)}"
        place.mkdir()
        candidate.write(place)
        shutil.copyfile(exported / "pack.json", place / "pack.json")
        attempts.append(judge.judge(place, candidate))
        say(f"  {candidate.recipe}: {attempts[-1].verdict()}")
        if attempts[-1].passed is not False:
            break
    best = min(attempts, key=lambda one: (one.passed is False, one.score_drop or 0.0))
    for path in (folder / f"attempt-{attempts.index(best)}").glob(f"*{Path(judge.runnable.model).suffix}*"):
        path.rename(folder / path.name)
    for index in range(len(attempts)):
        shutil.rmtree(folder / f"attempt-{index}")
    return [one for one in attempts if one is not best] + [best]


def _tflite(material: Material, exported: Path, step: Quantize) -> Iterator[_Candidate]:
    from edgepack.quantize.tflite_quantization import quantize_tflite, recipe_name

    texts, said = _running_texts(material) if step.method == "blockwise" else ((), None)
    details = {} if said is None else {"calibration_texts": said}
    for weights_only in (False, True) if step.precision == "int8" else (False,):
        write = partial(quantize_tflite, exported, step, weights_only=weights_only, texts=texts)
        yield _Candidate(recipe_name(step, weights_only), step.precision, write, details)


def _in_int8(material: Material, exported: Path, step: Quantize) -> Iterator[_Candidate]:
    """Encoders in int8: all products, then all but the most sensitive ones. Each is made when it is asked for."""
    from edgepack.export.onnx_weights import load_mapped
    from edgepack.quantize.int8_search import in_int8, prepare, scan
    from edgepack.quantize.sensitivity import most_sensitive

    model, texts = load_mapped(exported / GRAPH_FILE), _texts(material, exported)
    prepared = prepare(model, step, texts)
    recipe = "int8" if step.method == "dynamic" else "int8, static"
    if not step.sensitive or not texts.calibration:
        yield _Candidate(recipe, "int8", partial(_write, in_int8(prepared, step)), prepared.details)
    if step.sensitive == 0 or not texts.calibration:
        return
    scanned = scan(model, prepared, step, texts)
    kept = most_sensitive(scanned, step.sensitive)
    left = {weight for group in kept for weight in group.weights}
    told = tuple(Sensitive(name=one.name, params=one.params, error=one.error, is_wider=one in kept) for one in scanned)
    name = f"{recipe}, the {len(kept)} most sensitive of {len(scanned)} groups of products in fp32"
    yield _Candidate(name, "int8", partial(_write, in_int8(prepared, step, left)), prepared.details, told)


def _write(model: "onnx.ModelProto", folder: Path) -> None:
    from edgepack.export.onnx_optimization import optimize_onnx
    from edgepack.export.onnx_weights import save_whole

    save_whole(model, folder / _UNFINISHED)
    optimize_onnx(folder / _UNFINISHED, folder)
    (folder / _UNFINISHED).unlink()


def _blockwise(material: Material, exported: Path, step: Quantize) -> Iterator[_Candidate]:
    """Decoders in blocks: 4 bits where they are wished; then with the most sensitive layers in 8; then all in 8 where nobody
    insisted. Each is made when it is asked for."""
    from edgepack.quantize.onnx_blockwise import quantize_decoder
    from edgepack.quantize.onnx_decoder_scan import scan_layers
    from edgepack.quantize.sensitivity import most_sensitive

    cache = _runnable(exported).cache
    texts, said = _running_texts(material)
    details, recipe = {"calibration_texts": said}, f"{step.precision} in blocks of {step.block}"
    quantize = partial(quantize_decoder, exported, texts=texts, cache=cache)
    if not step.sensitive or not texts:
        yield _Candidate(recipe, step.precision, partial(quantize, step), details)
    if step.precision != "int4":
        return
    if texts and step.sensitive != 0:
        scanned = scan_layers(exported, step, texts, cache)
        kept = most_sensitive(scanned, step.sensitive)
        wide = {weight for one in kept for weight in one.weights}
        told = tuple(Sensitive(name=one.name, params=one.params, error=one.error, is_wider=one in kept) for one in scanned)
        name = f"{recipe}, the {len(kept)} most sensitive of {len(scanned)} layers in 8 bits"
        yield _Candidate(name, "int4", partial(quantize, step, wide=wide), details, told)
    if material.recipe.precision is None:
        wider = step.model_copy(update={"precision": "int8", "asymmetric": False})
        yield _Candidate(f"int8 in blocks of {step.block}", "int8", partial(quantize, wider), details)


def _running_texts(material: Material) -> tuple[Sequence[Features], int | str]:
    """Texts that tell GPTQ's moments, none where they are too short, and what the report says of them."""
    lengths = sorted(len(text.ids) for text in material.train) or [0]
    count = max(_CALIBRATION_BLOCKS, _CALIBRATION_TOKENS // max(lengths[len(lengths) // 2], 1))
    texts = material.train[:: max(1, len(lengths) // count)][:count]
    if not texts or sum(len(text.ids) for text in texts) >= _LEAST_TOKENS:
        return texts, len(texts)
    return (), f"none: those at hand have fewer than {_LEAST_TOKENS} tokens"


def _halves(material: Material, exported: Path, step: Quantize) -> Iterator[_Candidate]:
    from edgepack.quantize.onnx_halves import store_halves

    yield _Candidate("fp16", "fp16", partial(store_halves, exported), {})


def _texts(material: Material, exported: Path) -> "Texts":
    """Texts of the train split that choose, and texts of the dev split that judge."""
    import onnx

    from edgepack.quantize.int8_search import Texts

    inputs = [value.name for value in onnx.load(exported / GRAPH_FILE, load_external_data=False).graph.input]
    drawn = np.random.default_rng(material.recipe.seed)

    def feeds(rows: Sequence[Row]) -> list[dict[str, np.ndarray]]:
        picked = [rows[index] for index in drawn.permutation(len(rows))[:CALIBRATION_TEXTS]]
        made = []
        for item in material.encoded(picked):
            known = {"input_ids": item.ids, "attention_mask": [1] * len(item.ids), "token_type_ids": item.type_ids}
            made.append({name: np.array([known[name]], dtype=np.int64) for name in inputs})
        return made[:CALIBRATION_TEXTS]

    return Texts(feeds(material.rows("train")), feeds(material.rows("dev")))


def _judge(material: Material, plan: Plan, exported: Path) -> _Judge:
    rows = material.rows("dev")
    picked = sorted(np.random.default_rng(material.recipe.seed).permutation(len(rows))[:GATE_ROWS])
    rows = [rows[index] for index in picked]
    features = material.encoded(rows) if rows else material.sample[1]
    return _Judge(material, plan, rows, features, _answers(plan, exported, features, "judge the fp32 export"), _runnable(exported))


def _runnable(exported: Path) -> Runnable:
    return Runnable.read(json.loads((exported / "pack.json").read_text()), f"{exported}/pack.json")


def _answers(plan: Plan, folder: Path, features: Sequence[Features], title: str) -> Outputs:
    return answer(folder, plan.runtime, features, len(os.sched_getaffinity(0)), plan.exact_products, title=title)
