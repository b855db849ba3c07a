"""Runs stages one after the other through the cache, and judges what each left: the rows of the quality ladder."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.core.cache import run_once, stage_key
from edgepack.core.distributed import is_first
from edgepack.core.errors import EdgepackError
from edgepack.measure.answers import answer, difference
from edgepack.measure.decoding import check_decoding, chosen_texts, compare_decoding
from edgepack.measure.machines.transports.local import versions_beside
from edgepack.model.material import Material, load_outputs, save_outputs
from edgepack.model.quality import judge_outputs
from edgepack.model.source import find_model
from edgepack.pack.attempts import Attempt
from edgepack.pack.manifest import StageRecord
from edgepack.pack.runnable import Runnable, write_runnable
from edgepack.plan.formats import format_versions
from edgepack.plan.plan import Plan
from edgepack.plan.profile import Profile
from edgepack.plan.steps import CutVocabulary, Distill, Export, FileStep, ModelStep, Quantize
from edgepack.tasks.common.scores import UNKNOWN, Quality
from edgepack.tasks.common.task import Outputs

if TYPE_CHECKING:
    from torch import nn

    from edgepack.compress.context import StageContext

EXPORT_TOLERANCE = 1e-4  # largest difference of an fp32 export against torch, absolute below 1 and relative above


class Runner:
    """Carries a build from stage to stage: `key` names all that was done so far, `checkpoint` the model, `exported` the file."""

    def __init__(self, material: Material, plan: Plan, profile: Profile, cache: Path) -> None:
        self.material, self.plan, self.profile, self.cache = material, plan, profile, cache
        self.key = ""
        self.source = self.checkpoint = material.source
        self.exported: Path | None = None
        self.ladder: list[StageRecord] = []
        self._teacher_test: Outputs = []
        self._teacher_train: Outputs = []

    def teacher(self) -> None:
        """The first row of the ladder: the model as it came, with its outputs kept for all that follows and learns from them."""

        def work(made: Path, resume: Path) -> dict[str, Any]:
            if not is_first():
                return {}
            model = self._load()
            outputs = self._run(model, self.material.test, "teacher")
            save_outputs(made / "test.npz", outputs) if outputs else None
            return self._judged(outputs, outputs) | _size(model, self.material.source.weights_mb)

        self.key = self._teacher_key("test")
        folder, record = self._timed(self.key, work)
        self._teacher_test = load_outputs(folder / "test.npz") if self.material.test else []
        if not any(isinstance(step, CutVocabulary) for step in self.plan.steps):
            record["seconds"] += self._soft_targets()
        self._finish("teacher", "as it came", folder, record)

    def change_tokenizer(self, step: CutVocabulary, work: "Callable[[nn.Module, Material, Path], dict[str, Any]]") -> None:
        """A stage that leaves a checkpoint with a tokenizer of its own: what follows sees it as the model that was brought.

        It teaches too: on the train split its pieces, and so its outputs, are those of the model as it came.
        """
        before = self.material

        def stage(made: Path, resume: Path) -> dict[str, Any]:
            from edgepack.model.checkpoint import save_checkpoint

            model = self._load()
            details = work(model, before, made)
            save_checkpoint(model, made)
            self._take_over(made, before)
            outputs = self._run(model, self.material.test, f"score after {step.verb}")
            weights_mb = (made / "model.safetensors").stat().st_size / 1e6
            return self._judged(outputs, self._teacher_test) | _size(model, weights_mb) | {"details": details}

        whole = self._teacher_test
        folder, record = self._next(step, stage, {"corpus": before.corpus.sha256, "pieces": before.vocabulary_cut.sha256})
        self._teacher_test = whole
        self._take_over(folder, before)
        record["seconds"] += self._soft_targets()
        self._finish(step.verb, step.why, folder, record)

    def _take_over(self, folder: Path, before: Material) -> None:
        """The cut model's folder as the source of all material; the teacher's answers on the test split follow its pieces."""
        self.checkpoint = replace(find_model(str(folder)), name=self.source.name)
        self.material = Material(before.recipe, self.checkpoint, before.task, before.data)
        if self._teacher_test:
            new_id = before.vocabulary_cut.new_id
            self._teacher_test = before.task.aligned(self._teacher_test, before.test, self.material.test, new_id)

    def change_model(self, step: ModelStep, work: "Callable[[nn.Module, StageContext], nn.Module]") -> None:
        """A stage from checkpoint to checkpoint."""

        def stage(made: Path, resume: Path) -> dict[str, Any]:
            from edgepack.model.checkpoint import save_checkpoint

            model = work(self._load(), self._context(resume, step))
            if not is_first():
                return {}
            save_checkpoint(model, made)
            outputs = self._run(model, self.material.test, f"score after {step.verb}")
            weights_mb = (made / "model.safetensors").stat().st_size / 1e6
            return self._judged(outputs, self._teacher_test) | _size(model, weights_mb)

        folder, record = self._next(step, stage)
        self.checkpoint = find_model(str(folder))
        self._finish(step.verb, step.why, folder, record)

    def change_file(self, step: FileStep, work: Callable[[Path], tuple[Runnable, list[Attempt]]]) -> None:
        """A stage that writes a model file which a target can run; the file is scored by the target's runtime."""

        def stage(made: Path, resume: Path) -> dict[str, Any]:
            if not is_first():
                return {}
            runnable, attempts = work(made)
            details = dict(attempts[-1].details) if attempts else {}
            write_runnable(made, runnable)
            if isinstance(step, Export):
                self._check_export(made)
            elif runnable.cache:
                details |= self._check_decoding(made, step)
            outputs = self._answer(made, self.material.test, f"score after {step.verb}")
            file_mb = sum(path.stat().st_size for path in made.glob(f"{runnable.model}*")) / 1e6
            told = {"attempts": [one.as_json() for one in attempts], "details": details}
            return self._judged(outputs, self._teacher_test) | {"params": self.ladder[-1].params, "file_mb": file_mb} | told

        folder, record = self._next(step, stage, self._beside_the_step())
        self.exported = folder
        self._finish(step.verb, step.why, folder, record)

    def _beside_the_step(self) -> dict[str, str] | None:
        """What a TFLite file hangs on, too."""
        if self.plan.format == "onnx":
            return None
        return format_versions(self.plan.format) | versions_beside(self.plan.runtime) | {"lengths": str(self.material.buckets)}

    def golden_outputs(self, folder: Path) -> Outputs:
        return self._answer(folder, self.material.sample[1], "golden vectors")

    def _next(
        self,
        step: CutVocabulary | ModelStep | FileStep,
        stage: Callable[[Path, Path], dict[str, Any]],
        inputs: dict[str, str] | None = None,
    ) -> tuple[Path, dict[str, Any]]:
        machine = {"seed": self.material.recipe.seed, "threads": len(os.sched_getaffinity(0))}
        settings = step.model_dump(exclude={"why"}) | machine | (inputs or {})
        self.key = stage_key((self.key,), settings)
        return self._timed(self.key, stage)

    def _timed(self, key: str, stage: Callable[[Path, Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
        def work(made: Path, resume: Path) -> dict[str, Any]:
            before, started = _seconds_of_killed_runs(resume), time.monotonic()
            record = stage(made, resume)
            return record | {"seconds": round(before + time.monotonic() - started, 2)}

        return run_once(self.cache, key, work)

    def _finish(self, name: str, why: str, folder: Path, record: dict[str, Any]) -> None:
        quality = Quality.read(record.pop("quality"), f"{folder}/record.json")
        score, teacher = quality.score, (self.ladder[0] if self.ladder else quality).score
        drop = None if score is None or teacher is None else round(score.drop_from(teacher), 3)
        attempts = tuple(Attempt.read(one, f"{folder}/record.json") for one in record.pop("attempts", []))
        self.ladder.append(StageRecord(stage=name, why=why, score_drop=drop, attempts=attempts, **record, **dict(quality)))

    def _load(self) -> "nn.Module":
        from edgepack.model.checkpoint import load_checkpoint

        return load_checkpoint(self.checkpoint, self.material.task.name, self.material.recipe.trust_remote_code)

    def _context(self, resume: Path, step: ModelStep) -> "StageContext":
        from edgepack.compress.context import StageContext
        from edgepack.model.checkpoint import load_checkpoint

        labelled = len(self.material.train)
        with_unlabelled = isinstance(step, Distill)
        features = self.material.training if with_unlabelled else self.material.train
        return StageContext(
            task=self.material.task,
            rows=self.material.rows("train") + (self.material.unlabelled_rows if with_unlabelled else []),
            features=features,
            teacher_outputs=self._teacher_train if with_unlabelled else self._teacher_train[:labelled],
            load_teacher=lambda: load_checkpoint(self.material.source, self.material.task.name, self.material.recipe.trust_remote_code),
            dev_rows=self.material.rows("dev"),
            dev_features=self.material.dev if isinstance(step, Distill) and step.minutes else [],
            labels=self.material.labels,
            folder=resume,
            seed=self.material.recipe.seed,
        )

    def _soft_targets(self) -> float:
        """The teacher's outputs for the train split, where a step needs them: computed once, kept on disk. Returns the seconds."""
        if not any(isinstance(step, ModelStep) for step in self.plan.steps):
            return 0.0
        if not self.material.train:
            raise EdgepackError(
                f"no train split in {self.material.recipe.data!r}", "give data to train on, or --student same --prune-heads 0"
            )

        def work(made: Path, resume: Path) -> dict[str, Any]:
            if not is_first():
                return {}
            from edgepack.model.evaluation import run_model

            task = self.material.task
            outputs = run_model(self._load(), task, self.material.training, "teacher's soft targets", task.kept_outputs)
            save_outputs(made / "train.npz", outputs)
            return {}

        folder, record = self._timed(self._teacher_key("train"), work)
        self._teacher_train = load_outputs(folder / "train.npz")
        return record["seconds"]

    def _teacher_key(self, split: str) -> str:
        settings = {"stage": "teacher", "split": split, "task": self.material.task.name, "max_length": self.material.max_length}
        return stage_key((self.material.source.sha256, self._data_sha256), settings)

    @property
    def _data_sha256(self) -> str:
        return (self.material.data.sha256 if self.material.data else "") + self.material.unlabelled_sha256

    def _run(self, model: "nn.Module", features: list, title: str) -> Outputs:
        from edgepack.model.evaluation import run_model

        return run_model(model, self.material.task, features, title) if features else []

    def _answer(self, folder: Path, features: list, title: str, batch: int = 1, at_once: int | None = None) -> Outputs:
        threads = len(os.sched_getaffinity(0))
        return answer(folder, self.plan.runtime, features, threads, self.plan.exact_products, batch, title, at_once) if features else []

    def _judged(self, outputs: Outputs, teacher: Outputs) -> dict[str, Any]:
        task, features, rows = self.material.task, self.material.test, self.material.rows("test")
        quality = judge_outputs(task, outputs, features, rows, self.material.labels, teacher or None) if outputs else UNKNOWN
        return {"quality": quality.as_json()}

    def _check_export(self, folder: Path) -> None:
        """Compares the file with torch on real texts, singly and padded, and a decoder's token by token too.

        A difference fails the build: nobody ships a wrong file.
        """
        model, features = self._load(), self.material.sample[1]
        checks: list[tuple[list, int, int | None]] = [(features, 1, None), (features, 8, None)]
        if self.material.task.decodes:
            checks.append((chosen_texts(features), 1, 1))
        for texts, batch, at_once in checks:
            expected = self._run(model, texts, "check in torch")
            found = self._answer(folder, texts, "check the export", batch, at_once)
            comparable = self.material.task.comparable
            worst = max(difference(comparable(output), comparable(true)) for output, true in zip(found, expected, strict=True))
            if not worst <= EXPORT_TOLERANCE:
                how = f"batch {batch}" + (", token by token" if at_once else "")
                raise EdgepackError(
                    f"the exported file differs from torch by {worst:.2g} (limit {EXPORT_TOLERANCE:g}, {how})",
                    "this is a fault of the export, not of your model: please report the model's family and config",
                )

    def _check_decoding(self, folder: Path, step: Quantize) -> dict[str, float | int | str]:
        """What a prompt read at once and token by token have in common; too little fails the build."""
        threads = len(os.sched_getaffinity(0))
        found = compare_decoding(folder, self.plan.runtime, self.material.sample[1], threads, self.plan.exact_products)
        check_decoding(found, step.precision)
        return {"prompt_agreement": found.agreement, "prompt_nll": found.nll}


def _size(model: "nn.Module", file_mb: float) -> dict[str, Any]:
    from edgepack.compress.sparsity import coded_mb
    from edgepack.model.surgery import count_params

    return {"params": count_params(model), "file_mb": round(file_mb, 3), "coded_mb": round(coded_mb(model), 3)}


def _seconds_of_killed_runs(resume: Path) -> float:
    if not any(resume.iterdir()):
        return 0.0
    from edgepack.model.training import spent_seconds

    return spent_seconds(resume)
