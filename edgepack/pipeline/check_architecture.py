"""Whether edgepack can work on a family of models: a tiny random one is cut, reloaded, narrowed and exported, and compared with torch.

It needs no trained model and no data. What fails is named in the report; a file with a new family can be tried before it is installed.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.records import Frozen
from edgepack.pipeline.architecture_checks import CHECKS, EXPORTS, Subject
from edgepack.plan.architectures import FAMILIES, add_family
from edgepack.plan.family import Family
from edgepack.plan.runtime import missing_builders

_FIRST = 2  # checks that all others need


class AbilityCheck(Frozen):
    """ok: None where it could not be tried, and `detail` says why."""

    ability: str
    ok: bool | None
    detail: str


class ArchitectureCheck(Frozen):
    """What `edgepack check-architecture` has tried with a family, ability by ability."""

    model_type: str
    task: str
    checks: tuple[AbilityCheck, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok is not False for check in self.checks)


def check_architecture(name: str, with_files: bool = True) -> ArchitectureCheck:
    """Tries everything that edgepack does with a model on a family: a model_type that edgepack knows, or a Python file with a FAMILY.

    with_files: export too, which takes most of the time. EdgepackError: there is no such family or file.
    """
    family = _family(name)
    with tempfile.TemporaryDirectory() as folder:
        subject, checks = Subject(family, Path(folder)), []
        for ability, check in (CHECKS | (EXPORTS if with_files else {})).items():
            failed = next((done.ability for done in checks[:_FIRST] if done.ok is False), None)
            checks.append(_untried(ability, f"{failed!r} fails") if failed else _checked(ability, check, subject))
        return ArchitectureCheck(model_type=family.model_type, task=subject.task.name, checks=tuple(checks))


def _family(name: str) -> Family:
    if name.endswith(".py"):
        return add_family(Path(name))
    if name not in FAMILIES:
        raise EdgepackError(f"unknown model family: {name!r}", did_you_mean(name, sorted(FAMILIES)))
    if FAMILIES[name].is_table:
        raise EdgepackError(f"{name} is a table of vectors: it has no layers that could be tried", f"name one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def _checked(ability: str, check: Callable[[Subject], str], subject: Subject) -> AbilityCheck:
    if ability == "TFLite" and (missing := missing_builders("tflite")):
        return _untried(ability, f"not installed: {', '.join(missing)}")
    try:
        return AbilityCheck(ability=ability, ok=True, detail=check(subject))
    except Exception as error:  # a wrong path or key of a family's file can break anything
        reason = str(error).strip().split("\n")[0]
        return AbilityCheck(ability=ability, ok=False, detail=f"{type(error).__name__}: {reason}")


def _untried(ability: str, why: str) -> AbilityCheck:
    return AbilityCheck(ability=ability, ok=None, detail=f"not tried: {why}")
