"""The pack: the folder that is shipped, written whole or not at all, with a hash for every file and golden vectors."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from edgepack.core.errors import EdgepackError
from edgepack.core.fields import FileName, OneLine, PackageName, Sha256, VersionText
from edgepack.core.files import sha256_of, write_atomically
from edgepack.core.reading import as_object, parse_json, read_bytes
from edgepack.core.records import Frozen
from edgepack.core.renewal import RENEWED, RENEWED_PARTIAL, finish_renewal
from edgepack.core.showing import shown
from edgepack.pack.attempts import Attempt
from edgepack.pack.factored_matrix import FactoredMatrix
from edgepack.pack.outside_weights import names_outside
from edgepack.pack.runnable import RUNNABLE_FILE, Runnable, write_runnable
from edgepack.plan.plan import Plan
from edgepack.plan.prediction import Prediction
from edgepack.plan.profile import PrecisionName, Profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.runtime import Format
from edgepack.tasks.common.scores import Calibration, Confusion, Flip, GroupScore, Score

MANIFEST_FILE = "pack.json"
WEIGHT_CACHE = ".weight-cache"  # a folder that a target may leave in a pack: of the machine that ran it, no part of what was built
REPORT_FILES = ("report.json", "report.md", "report.html")
STATEMENT_FILE = "attestation.json"  # how the pack was made: see attestation.py
SUMS_FILE = "SHA256SUMS"  # of every other file, pack.json too, as `sha256sum --check` reads it
_BESIDE = (WEIGHT_CACHE, RENEWED, RENEWED_PARTIAL)  # folders that pack.json does not list
_NOT_LISTED = (MANIFEST_FILE, SUMS_FILE)  # the files that hold the hashes
RENEWED_FILES = (*REPORT_FILES, SUMS_FILE, MANIFEST_FILE)  # by every measuring, together: see renewal.py
SCHEMA: Final = 2
_UNSEALED = "0" * 64  # stands in pack.json while its own hash is computed


class StageRecord(Frozen):
    """One row of the quality ladder: what a stage left, what it cost, and how good it is on the test split."""

    stage: str
    why: str
    seconds: float
    initialization_s: float | None = None  # of these seconds: a student was made of its teacher's weights, before it was trained
    params: int
    file_mb: float
    coded_mb: float | None = None  # the layers' matrices after an ideal entropy coder, where the stage left a model
    score: Score | None
    second: Score | None  # the task's second metric; it judges nothing
    further: tuple[Score, ...] = ()  # of a task with more than two metrics
    score_drop: float | None  # points lost against the teacher; negative where it is better
    flip_share: float | None  # decisions that differ from the teacher's
    calibration: Calibration | None
    groups: tuple[GroupScore, ...]  # classes, entity types or languages, the worst first
    flips: tuple[Flip, ...] = ()  # rows that the teacher answers rightly and this stage's model does not
    confusions: tuple[Confusion, ...] = ()
    details: dict[str, float | int | str] = Field(default_factory=dict)  # what the stage counted beside the score
    factors: tuple[FactoredMatrix, ...] = ()  # of the stage that made two products of each
    attempts: tuple[Attempt, ...] = ()  # to quantize; the last is what the stage left
    origin: Literal["measured"] = "measured"


class PackedFile(Frozen):
    """One file of the pack, with its size in bytes and its sha256."""

    name: FileName
    bytes: int
    sha256: Sha256


class Origin(Frozen):
    """Where a model or data came from."""

    name: OneLine
    sha256: str
    revision: Annotated[str, StringConstraints(pattern="^[0-9a-f]{40}$")] | None = None  # the commit of a hub model


class Served(Frozen):
    """The shipped file asked with raw text through a module's own code, on rows of the test split, beside the same rows as token ids.

    score_drop: points that the raw texts' score loses to the teacher's on these rows. differing: rows that are answered otherwise.
    """

    score: Score
    token_score: Score
    score_drop: float | None
    differing: int
    origin: Literal["measured"] = "measured"


class Continuation(Frozen):
    """How the teacher, in fp32, and the shipped file continue a text, each with its likeliest token at every step."""

    prompt: str
    teacher: str
    shipped: str
    origin: Literal["measured"] = "measured"


class Manifest(Runnable):
    """pack.json. Schema 1 had no hash of its own, and what a target reads stood in it alone."""

    schema_version: Literal[1, 2] = Field(default=SCHEMA, alias="schema")
    sha256: Sha256 = _UNSEALED  # of pack.json, with 64 zeros in this place
    edgepack: VersionText
    format: Format
    precision: PrecisionName
    max_length: int
    labels: dict[str, str]
    golden_tolerance: float
    products: dict[str, int]  # matrix products with a weight, in int8 and in float
    weight_bytes: dict[str, int] = Field(default_factory=dict)  # of matrices and tables in the file, by precision
    predictions: Prediction  # for the model that was built, where `plan` holds those for the one intended
    profile: Profile
    recipe: Recipe
    plan: Plan
    ladder: tuple[StageRecord, ...]
    continuations: tuple[Continuation, ...] = ()  # of a decoder
    served: Served | None = None  # None: there is no test split, or the task's answers are no decisions
    source: Origin
    base: Origin | None = None  # the model that the source, an adapter, was merged into
    licence: OneLine | None  # as the model's own card states it
    data: Origin | None
    seed: int
    command: str
    versions: dict[PackageName, VersionText]
    files: tuple[PackedFile, ...]

    @model_validator(mode="after")
    def _each_file_stands_once(self) -> Self:
        """Also where upper and lower case are the same: there one file would hide the other."""
        known: set[str] = set()
        for file in self.files:
            if file.name.casefold() in known:
                raise EdgepackError(f"{MANIFEST_FILE} lists {file.name} twice", "build or copy the pack again")
            known.add(file.name.casefold())
        return self

    @property
    def pack_id(self) -> str:
        """One hash for what is shipped: the reports and the statement about it do not change it."""
        shipped = sorted((file.name, file.sha256) for file in self.files if file.name not in (*REPORT_FILES, STATEMENT_FILE))
        return hashlib.sha256(json.dumps(shipped).encode()).hexdigest()[:16]

    @property
    def file_mb(self) -> float:
        """The model's files, 10^6 bytes: graph and weights, without tokenizer and reports."""
        return sum(file.bytes for file in self.files if self.has_model_file(file.name)) / 1e6


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Writes pack.json with size and hash of every other file that is in the folder now, and with a hash of its own."""
    sealed, text = sealed_text(folder, manifest)
    write_atomically(folder / MANIFEST_FILE, text)
    write_atomically(folder / SUMS_FILE, sums_of(sealed, text.encode()))
    return sealed


def sums_of(manifest: Manifest, manifest_file: bytes) -> str:
    """The text of SHA256SUMS. manifest_file: the bytes of pack.json."""
    listed = {file.name: file.sha256 for file in manifest.files}
    return sums_text(listed | {MANIFEST_FILE: hashlib.sha256(manifest_file).hexdigest()})


def sums_text(digests: Mapping[str, str]) -> str:
    """Lines for `sha256sum --check`. digests: sha256 by file name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def sealed_text(folder: Path, manifest: Manifest, renewed: Path | None = None) -> tuple[Manifest, str]:
    """The manifest of what is in `folder` now, and its file's text. renewed: a folder with files that take the place of older ones."""
    if not (folder / RUNNABLE_FILE).is_file():  # a pack of schema 1
        write_runnable(folder, manifest)
    present = {path.name: path for place in (folder, renewed) if place for path in place.iterdir()}
    files = tuple(packed(present[name]) for name in sorted(present) if name not in (*_NOT_LISTED, *_BESIDE))
    sealed = manifest.model_copy(update={"schema_version": SCHEMA, "sha256": _UNSEALED, "files": files})
    text = json.dumps(sealed.as_json(), indent=1) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return sealed.model_copy(update={"sha256": digest}), text.replace(_UNSEALED, digest, 1)


def finish_pack(folder: Path) -> None:
    """Moves the reports that a killed measuring had made valid and not yet moved."""
    finish_renewal(folder, RENEWED_FILES)


def read_manifest(folder: Path) -> Manifest:
    """EdgepackError: no pack, a pack.json that was changed, or one of another schema."""
    path = folder / MANIFEST_FILE
    finish_pack(folder)
    if not path.is_file():
        raise EdgepackError(f"no pack in {str(folder)!r}: it has no {MANIFEST_FILE}", "give the folder that `edgepack build --out` wrote")
    fix = "build or copy the pack again"
    raw = read_bytes(path, fix=fix)
    data = as_object(parse_json(raw, str(path), fix, "is damaged", finite=False), str(path), fix)
    text = raw.decode("utf-8")
    if data.get("schema") not in (1, SCHEMA):
        raise EdgepackError(f"{path} has schema {shown(data.get('schema'))}, this edgepack reads 1 and {SCHEMA}", _build_again(data))
    if data["schema"] == SCHEMA and data.get("sha256") != _own_sha256(text, data.get("sha256")):
        raise EdgepackError(f"{path} was changed: its content is not what its own hash says", "build or copy the pack again")
    try:
        return Manifest.read(data, str(path))
    except EdgepackError as error:
        if data["schema"] == SCHEMA:
            raise
        raise EdgepackError(f"{path} is of an older edgepack and cannot be read: {error.problem}", _build_again(data)) from None


def _own_sha256(text: str, stated: Any) -> str | None:
    return hashlib.sha256(text.replace(stated, _UNSEALED, 1).encode()).hexdigest() if isinstance(stated, str) and stated else None


def _build_again(data: dict[str, Any]) -> str:
    """The command that the pack says it was built by, where it states one; nothing of it is run here."""
    command = data.get("command")
    plain = isinstance(command, str) and command.startswith("edgepack ") and command.isprintable()
    return f"build the pack again: {command}" if plain else "build the pack again"


def check_files(folder: Path, manifest: Manifest, skip: tuple[str, ...] = ()) -> None:
    """EdgepackError names the first file that is missing, added or changed since the pack was sealed, or that is not a plain file."""
    for path in sorted(folder.iterdir()):
        is_plain = path.is_dir() if path.name in _BESIDE else path.is_file()
        if path.is_symlink() or not is_plain:
            raise EdgepackError(f"{path.name} in the pack {folder} is not a plain file", "copy the pack with its files, without links")
    listed = {file.name: file for file in manifest.files}
    present = {path.name for path in folder.iterdir()} - {*_NOT_LISTED, *_BESIDE}
    for name in sorted(set(listed) ^ present):
        if name in skip:
            continue
        what = "is missing from" if name in listed else "does not belong to"
        raise EdgepackError(f"{name} {what} the pack {folder}", "build or copy the pack again")
    for name, file in listed.items():
        path = folder / name  # its size first: hashing what became far larger would take as long
        if name not in skip and (path.stat().st_size != file.bytes or packed(path) != file):
            raise EdgepackError(
                f"{name} in {folder} was changed: its hash is not the one in {MANIFEST_FILE}", "build or copy the pack again"
            )
    _check_weights(folder, manifest)
    _check_sums(folder, manifest)


def _check_weights(folder: Path, manifest: Manifest) -> None:
    """EdgepackError: a graph names a file that the pack does not list, so that nobody has looked at its bytes."""
    places = {file.name for file in manifest.files if manifest.has_model_file(file.name)}
    places |= {manifest.coded.file} if manifest.coded else set()
    opened = {manifest.model, manifest.score_model} & {file.name for file in manifest.files}  # a coded one is not there
    for name in sorted(filter(None, opened)):
        for stranger in sorted(names_outside(folder / name, manifest.format) - places):
            raise EdgepackError(
                f"{name} in {folder} names {shown(stranger)} as a file of its weights or of a compiled part, "
                "and that is no model file which the pack lists",
                "build or copy the pack again",
            )


def _check_sums(folder: Path, manifest: Manifest) -> None:
    """A pack without a statement is of an older edgepack, which wrote no SHA256SUMS either."""
    path = folder / SUMS_FILE
    if not path.is_file() and all(file.name != STATEMENT_FILE for file in manifest.files):
        return
    if not path.is_file():
        raise EdgepackError(f"{SUMS_FILE} is missing from the pack {folder}", "build or copy the pack again")
    expected = sums_of(manifest, read_bytes(folder / MANIFEST_FILE))
    if read_bytes(path) != expected.encode():
        raise EdgepackError(f"{SUMS_FILE} in {folder} was changed: it does not say what is there", "build or copy the pack again")


def packed(path: Path) -> PackedFile:
    """The record of a file: name, size and sha256."""
    return PackedFile(name=path.name, bytes=path.stat().st_size, sha256=sha256_of(path))
