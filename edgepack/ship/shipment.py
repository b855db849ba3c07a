"""What is shipped, checked and frozen, and what a platform answers: the interface between ship() and the platforms' files.

A platform is a file edgepack/ship/platforms/NAME.py with two functions:

    def check(shipment: Shipment) -> tuple[str, ...]
        Before any work: warnings for people; EdgepackError for a task or tokenizer that its module does not know.

    def write(shipment: Shipment, folder: Path) -> Written
        Fills an empty folder with everything but README.md, LICENCES.md and ship.json, which ship() adds.

A platform whose module runs on this machine too has a third, which ship() calls last:

    def self_tested(shipment: Shipment, folder: Path) -> str
        Runs the module's own self-test; a sentence for people. EdgepackError where it fails.

A platform that takes wishes (see Wishes) names them, and ship() refuses all others by name:

    TAKES = frozenset({"runtime_version"})

One whose modules need a dotted package name says NEEDS_PACKAGE = True. SERVES holds other words that people ask for a platform by.

What a platform cannot do it states, for the table in the docs: tasks() names those that it does (all where there is none), FORMATS its
kinds of files, and LIMITS a restriction by task. Each has a template edgepack/ship/templates/NAME.README.md.j2.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import Field

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import TOKENIZER_BYTES, read_json_object
from edgepack.core.records import Frozen
from edgepack.pack.manifest import Manifest
from edgepack.ship.platforms import platform_names
from edgepack.ship.release import Release
from edgepack.ship.signing import Signer


class Size(Frozen):
    """What a part of the module adds to an app. bytes: null where unknown; source: `measured`, or where the figure was read."""

    part: str  # model, tokenizer, runtime, code
    what: str
    bytes: int | None
    source: str


class Carried(Frozen):
    """Something under a licence of its own that the module carries (or fetches, where carried is false)."""

    what: str
    licence: str
    carried: bool


class Written(Frozen):
    """What a platform wrote. context: more names for its README's template. warnings: of what was noticed only now."""

    sizes: tuple[Size, ...]
    licences: tuple[Carried, ...]
    warnings: tuple[str, ...] = ()
    context: dict[str, Any] = Field(default_factory=dict)


class Tokenizing(Frozen):
    """What a tokenizer.json is made of: the names of its parts, those inside a Sequence one by one."""

    model: str  # WordPiece, BPE, Unigram, WordLevel
    normalizers: tuple[str, ...]
    pre_tokenizers: tuple[str, ...]
    post_processors: tuple[str, ...]
    byte_fallback: bool


class Wishes(Frozen):
    """What some platforms alone can do.

    runtime_version: of the runtime that the app's build fetches, in place of the one chosen. with_sample: a whole app beside the
    module. reduced_runtime: the model as .ort, and what a runtime of its own operators alone is built from.
    """

    runtime_version: str | None = None
    with_sample: bool = False
    reduced_runtime: bool = False

    @property
    def named(self) -> dict[str, object]:
        """Those that somebody wishes, by name."""
        return {name: value for name, value in self if value}


class Shipment(Frozen):
    """A pack whose hashes hold, and under which names it is shipped."""

    pack: Path
    manifest: Manifest
    platform: str
    name: str  # a lower-case identifier: intents
    package: str  # dotted, as com.example.intents; equal to name where none was given
    tokenizing: Tokenizing
    signer: Signer | None
    release: Release
    wishes: Wishes = Wishes()

    @property
    def keeps_weights(self) -> bool:
        """Whether the first start of a Python module leaves weights on the disk: decoded ones, or packed ones."""
        coded = self.manifest.coded
        return self.manifest.weight_cache or (coded is not None and coded.start == "expand")

    @property
    def model_files(self) -> tuple[str, ...]:
        """Names in the pack of what a module runs: graph and weights. A decoder's scoring graph is for measuring alone."""
        return tuple(file.name for file in self.manifest.files if self.manifest.has_model_file(file.name))


def read_tokenizing(pack: Path) -> Tokenizing:
    """EdgepackError where tokenizer.json is missing or damaged."""
    path = pack / "tokenizer.json"
    try:
        content = read_json_object(path, TOKENIZER_BYTES, "build the pack again")
        return Tokenizing(
            model=content["model"]["type"],
            normalizers=_parts(content["normalizer"], "normalizers"),
            pre_tokenizers=_parts(content["pre_tokenizer"], "pretokenizers"),
            post_processors=_parts(content["post_processor"], "processors"),
            byte_fallback=bool(content["model"].get("byte_fallback")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EdgepackError(f"{path} is not a tokenizer of this kind: {error!r}", "build the pack again") from None


def check_known(shipment: Shipment, tasks: Collection[str], models: Collection[str]) -> None:
    """EdgepackError for a task or a tokenizer's model that a platform's module does not know."""
    task, model = shipment.manifest.task, shipment.tokenizing.model
    if task not in tasks:
        works = ", ".join(name for name in platform_names() if name != shipment.platform)
        raise EdgepackError(
            f"the {shipment.platform} module cannot do {task}: it can do {', '.join(sorted(tasks))}",
            f"ship it --for another platform ({works}), or build a pack for one of these tasks",
        )
    if model not in models:
        raise EdgepackError(
            f"the {shipment.platform} module cannot run the tokenizer {model}: it can run {', '.join(sorted(models))}",
            "ship it --for python or linux, which read every tokenizer.json",
        )


def check_codec(shipment: Shipment, known: Collection[str]) -> None:
    """EdgepackError for coded weights that a platform's module cannot decode."""
    coded = shipment.manifest.coded
    if coded is not None and coded.codec not in known:
        raise EdgepackError(
            f"the {shipment.platform} module decodes no {coded.codec}, with which the pack's weights are coded",
            f"build the pack with --codec {' or '.join(sorted(known))}",
        )


def _parts(content: dict[str, Any] | None, key: str) -> tuple[str, ...]:
    if content is None:
        return ()
    if content["type"] == "Sequence":
        return tuple(name for part in content[key] for name in _parts(part, key))
    return (content["type"],)


def renders_chats(shipment: Shipment) -> bool:
    """Whether a module without jinja2 renders the model's conversations: their template is texts around messages by role."""
    return bool((shipment.manifest.answers or {}).get("chat_form"))


def chat_warnings(shipment: Shipment, language: str) -> tuple[str, ...]:
    """Of a module whose language has no jinja2: it renders a chat template that is texts around messages by role, and no other."""
    if not (shipment.manifest.answers or {}).get("chat_template") or renders_chats(shipment):
        return ()
    return (
        f"the {shipment.platform} module refuses chat messages for this model: the chat template depends on more than the roles, and"
        f" {language} has no jinja2. Prompts work: give the finished text, or ship --for linux or --for python",
    )


def cache_warnings(shipment: Shipment) -> tuple[str, ...]:
    """Of a module that keeps no packed weights, where the pack asks for it."""
    if not shipment.manifest.weight_cache:
        return ()
    return (
        f"the {shipment.platform} module packs the weights at each start. Loads in the report that were measured by Python are shorter: "
        "there the first start keeps the packed weights. Modules for linux and python keep them",
    )
