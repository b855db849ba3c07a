"""The pack: the folder that is shipped, written whole or not at all, with a hash for every file and golden vectors."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edgepack.core.errors import EdgepackError
from edgepack.core.fields import FileName, OneLine, PackageName, Sha256, VersionText
from edgepack.core.files import sha256_of, write_atomically
from edgepack.core.records import Frozen
from edgepack.pack.attempts import Attempt
from edgepack.pack.runnable import Runnable
from edgepack.plan.cost_model import Prediction
from edgepack.plan.formats import Format
from edgepack.plan.plan import Plan
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.tasks.common.scores import Calibration, GroupScore, Score

MANIFEST_FILE = "pack.json"
WEIGHT_CACHE = ".weight-cache"  # a folder that a target may leave in a pack: of the machine that ran it, no part of what was built
REPORT_FILES = ("report.json", "report.md", "report.html")
SCHEMA = 1


class StageRecord(Frozen):
    """One row of the quality ladder: what a stage left, what it cost, and how good it is on the test split."""

    stage: str
    why: str
    seconds: float
    params: int
    file_mb: float
    coded_mb: float | None = None  # the layers' matrices after an ideal entropy coder, where the stage left a model
    score: Score | None
    second: Score | None  # the task's second metric; it judges nothing
    score_drop: float | None  # points lost against the teacher; negative where it is better
    flip_share: float | None  # decisions that differ from the teacher's
    calibration: Calibration | None
    groups: tuple[GroupScore, ...]  # classes, entity types or languages, the worst first
    details: dict[str, float | int | str] = Field(default_factory=dict)  # what the stage counted beside the score
    attempts: tuple[Attempt, ...] = ()  # to quantize; the last is what the stage left
    origin: Literal["measured"] = "measured"


class PackedFile(Frozen):
    name: FileName
    bytes: int
    sha256: Sha256


class Origin(Frozen):
    """Where a model or data came from."""

    name: OneLine
    sha256: str


class Manifest(Runnable):
    """pack.json."""

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    edgepack: VersionText
    format: Format
    precision: OneLine
    max_length: int
    labels: dict[str, str]
    golden_tolerance: float
    products: dict[str, int]  # matrix products with a weight, in int8 and in float
    predictions: Prediction  # for the model that was built, where `plan` holds those for the one intended
    profile: Profile
    recipe: Recipe
    plan: Plan
    ladder: tuple[StageRecord, ...]
    source: Origin
    licence: OneLine | None  # as the model's own card states it
    data: Origin | None
    seed: int
    command: str
    versions: dict[PackageName, VersionText]
    files: tuple[PackedFile, ...]

    @property
    def pack_id(self) -> str:
        """One hash for what is shipped: the reports about it do not change it."""
        shipped = sorted((file.name, file.sha256) for file in self.files if file.name not in REPORT_FILES)
        return hashlib.sha256(json.dumps(shipped).encode()).hexdigest()[:16]

    @property
    def file_mb(self) -> float:
        """The model's files, 10^6 bytes: graph and weights, without tokenizer and reports."""
        return sum(file.bytes for file in self.files if file.name.startswith(self.model)) / 1e6


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Writes pack.json with size and hash of every other file that is in the folder now."""
    files = tuple(packed(path) for path in sorted(folder.iterdir()) if path.name not in (MANIFEST_FILE, WEIGHT_CACHE))
    sealed = manifest.model_copy(update={"files": files})
    write_atomically(folder / MANIFEST_FILE, json.dumps(sealed.as_json(), indent=1) + "\n")
    return sealed


def read_manifest(folder: Path) -> Manifest:
    """EdgepackError: no pack, a damaged pack.json, or one of another schema."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise EdgepackError(f"no pack in {str(folder)!r}: it has no {MANIFEST_FILE}", "give the folder that `edgepack build --out` wrote")
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EdgepackError(f"{path} is damaged: {error}", "build or copy the pack again") from None
    if data.get("schema") != SCHEMA:
        raise EdgepackError(f"{path} has schema {data.get('schema')!r}, this edgepack reads {SCHEMA}", "build the pack again")
    return Manifest.read(data, str(path))


def check_files(folder: Path, manifest: Manifest, skip: tuple[str, ...] = ()) -> None:
    """EdgepackError names the first file that is missing, added or changed since the pack was sealed."""
    listed = {file.name: file for file in manifest.files}
    present = {path.name for path in folder.iterdir()} - {MANIFEST_FILE, WEIGHT_CACHE}
    for name in sorted(set(listed) ^ present):
        if name in skip:
            continue
        what = "is missing from" if name in listed else "does not belong to"
        raise EdgepackError(f"{name} {what} the pack {folder}", "build or copy the pack again")
    for name, file in listed.items():
        if name not in skip and packed(folder / name) != file:
            raise EdgepackError(
                f"{name} in {folder} was changed: its hash is not the one in {MANIFEST_FILE}", "build or copy the pack again"
            )


def packed(path: Path) -> PackedFile:
    return PackedFile(name=path.name, bytes=path.stat().st_size, sha256=sha256_of(path))
