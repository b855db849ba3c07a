"""Scores every stage by the same function: outputs of a torch model or of a file, compared with the teacher's."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.core.host import usable_cores
from edgepack.measure.answers import answer
from edgepack.model.material import Material
from edgepack.model.quality import judge_outputs
from edgepack.pack.manifest import StageRecord
from edgepack.pack.runnable import Runnable
from edgepack.plan.plan import Plan
from edgepack.tasks.common.scores import UNKNOWN, Quality
from edgepack.tasks.common.task import Features, Outputs

if TYPE_CHECKING:
    from torch import nn

    from edgepack.model.source import Source


def load_model(material: Material, checkpoint: "Source") -> "nn.Module":
    """The torch model of a checkpoint, with the head that the task needs."""
    from edgepack.model.checkpoint import load_checkpoint

    return load_checkpoint(checkpoint, material.task.name, material.recipe.trust_remote_code, material.recipe.dimensions)


def torch_outputs(model: "nn.Module", material: Material, features: list[Features], title: str) -> Outputs:
    """The model's outputs, one array for each row of features. title: of the progress bar."""
    from edgepack.model.evaluation import run_model

    return run_model(model, material.task, features, title) if features else []


def file_outputs(folder: Path, plan: Plan, features: list[Features], title: str, batch: int = 1, at_once: int | None = None) -> Outputs:
    """Computed by the target's runtime; see `answer`."""
    threads = usable_cores()
    return answer(folder, plan.runtime, features, threads, plan.exact_products, batch, title, at_once) if features else []


def judged(material: Material, outputs: Outputs, teacher: Outputs) -> dict[str, Any]:
    """The quality on the test split, for a stage's record."""
    rows = material.rows("test")
    quality = judge_outputs(material.task, outputs, material.test, rows, material.labels, teacher or None) if outputs else UNKNOWN
    return {"quality": quality.as_json()}


def file_size_mb(folder: Path, runnable: Runnable) -> float:
    """The model's files, 10^6 bytes: graph and weights."""
    return sum(path.stat().st_size for path in folder.iterdir() if runnable.has_model_file(path.name)) / 1e6


def model_size(model: "nn.Module", file_mb: float) -> dict[str, Any]:
    """Parameters, file size in MB, and the MB that the matrices would take when they are compressed."""
    from edgepack.compress.sparsity import coded_mb
    from edgepack.model.structure import count_params

    return {"params": count_params(model), "file_mb": round(file_mb, 3), "coded_mb": round(coded_mb(model), 3)}


def with_row(ladder: tuple[StageRecord, ...], name: str, why: str, record: dict[str, Any], place: Path) -> tuple[StageRecord, ...]:
    """The ladder with a row for a stage's record. place: named where the record cannot be read."""
    quality = Quality.read(record["quality"], f"{place}/record.json")
    teacher = ladder[0].score if ladder else quality.score
    drop = None if quality.score is None or teacher is None else round(quality.score.drop_from(teacher), 3)
    stated = {key: value for key, value in record.items() if key != "quality"}
    row = {"stage": name, "why": why, "score_drop": drop, **stated, **quality.as_json()}
    return (*ladder, StageRecord.read(row, f"{place}/record.json"))


def summary(row: StageRecord) -> str:
    """One line for people."""
    score = f"{row.score.metric} {row.score.value:.4f}, {row.score_drop:+.2f} points lost, " if row.score else ""
    doubts = {"chance": "no better than always the same answer", "still_improving": "still improving when the training ended"}
    doubt = "".join(f", {words}" for name, words in doubts.items() if name in row.details)
    return f"{score}{row.params / 1e6:.2f}M parameters, {row.file_mb:.1f} MB, {row.seconds:.0f} s{doubt}"
