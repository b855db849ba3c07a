"""What a pack is measured on: an address such as ssh://pi@board, or a name from targets.toml; the transport is found by the scheme."""

import importlib
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from pydantic import Field, PrivateAttr

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.reading import read_toml
from edgepack.core.records import Frozen

_TRANSPORTS = Path(__file__).parent / "transports"
TARGETS_FILE = "targets.toml"
SETTINGS_OF_BOARDS = frozenset({"folder", "python", "time_out_s"})  # what a machine at the other end of a pipe takes
_OWN_FOLDER = re.compile(r"/?[\w.][\w.-]*(/[\w.][\w.-]*)*")  # goes into a command line on the board


class Target(Frozen):
    """One place to measure on. folder: edgepack's own there, in the home folder unless absolute. key, known_hosts: files here.

    cache: a folder here for the system of an emulated one, in place of edgepack's usual cache. runner: a file here with what measures on
    a phone without Python, in place of the one that edgepack makes.
    """

    name: str
    address: str
    key: str | None = None
    known_hosts: str | None = None
    folder: str = ".edgepack"
    python: str = "python3"
    time_out_s: float = Field(default=3600.0, gt=0, allow_inf_nan=False)
    cache: str | None = None
    runner: str | None = None

    _file: str | None = PrivateAttr(default=None)  # that names it, where that is not ./targets.toml

    def command(self, verb: str, *words: str) -> str:
        """`edgepack target VERB` for it, quoted for a shell. words: those behind its name."""
        return shlex.join(["edgepack", "target", verb, self.name, *words, *(["--targets", self._file] if self._file else [])])

    @property
    def scheme(self) -> str:
        return self.address.partition("://")[0]

    @property
    def files(self) -> tuple[str, ...]:
        """What the target names on this machine, or on its own: a report that is passed on names none of their folders."""
        return tuple(path for path in (self.key, self.known_hosts, self.cache, self.runner, self.python) if path)


LOCAL = Target(name="local", address="local")


def transport_names() -> list[str]:
    """The schemes that there are: files in transports/."""
    return sorted(path.stem for path in _TRANSPORTS.glob("*.py") if not path.stem.startswith("_"))


def known_addresses() -> list[str]:
    """An address of each kind, as its transport's file states it; none of these files is imported for it."""
    return list(_stated("EXAMPLE").values())


def extras_of_transports() -> dict[str, str]:
    """What edgepack's extra of a transport's name gives, for each that needs one."""
    return _stated("EXTRA")


def _stated(constant: str) -> dict[str, str]:
    """The value of a constant in each transport's file that has it, by the transport's name."""
    texts = {name: (_TRANSPORTS / f"{name}.py").read_text(encoding="utf-8") for name in transport_names()}
    return {name: match[1] for name, text in texts.items() if (match := re.search(rf'^{constant} = "(.+)"$', text, re.MULTILINE))}


def transport(target: Target) -> ModuleType:
    """The module in transports/ that has the scheme's name: `check(target)`, `opened(target)` as a context manager."""
    known = transport_names()
    if target.scheme not in known:
        near = f"{did_you_mean(target.scheme, known)}; addresses look like {', '.join(known_addresses())}"
        raise EdgepackError(
            f"unknown target: {target.address!r} is neither a name in {TARGETS_FILE} nor an address of a kind known here", near
        )
    return importlib.import_module(f"edgepack.measure.machines.transports.{target.scheme}")


def find_targets(wanted: Sequence[str], file: Path | None = None, cache: str | None = None) -> list[Target]:
    """Each of `wanted`, a name or an address, checked as far as it can be without a connection. file: in place of ./targets.toml.

    cache: for those whose table names none.
    """
    named = read_targets(file)
    targets = []
    for address in wanted or [LOCAL.address]:
        target = named.get(address) or Target(name=address, address=address)
        if target.name == target.address and "://" not in address and address != LOCAL.address and named:
            raise EdgepackError(f"unknown target: {address!r}", did_you_mean(address, [*named, LOCAL.name]))
        _check_settings(target)
        transport(target).check(target)
        _check_folder(target)
        targets.append(target.model_copy(update={"cache": target.cache or cache}))
    if len({target.name for target in targets}) < len(targets):
        raise EdgepackError(f"a target is named twice: {', '.join(wanted)}", "name each once")
    return targets


def read_targets(file: Path | None = None) -> dict[str, Target]:
    """Targets by name from `file`, else from ./targets.toml where there is one: a table for each, with at least an address."""
    path = file or Path(TARGETS_FILE)
    if not path.is_file():
        if file is not None:
            raise EdgepackError(f"targets file not found: {str(file)!r}", "check the path")
        return {}
    tables = read_toml(path, "correct the line that the message names")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise EdgepackError(
                f"wrong value in {path} {name}: {table!r}", f'write a table: [{name}] and below it address = "ssh://user@host"'
            )
    targets = {name: Target.read({"name": name} | table, f"{path} [{name}]") for name, table in tables.items()}
    for target in targets.values():
        target._file = None if file is None else str(file)
    return targets


def _check_settings(target: Target) -> None:
    """EdgepackError names a setting that this kind of target would ignore."""
    honoured = _settings_of(target)
    for name in sorted(target.model_fields_set - {"name", "address"} - honoured):
        able = [example for example in known_addresses() if name in _settings_of(Target(name=example, address=example))]
        raise EdgepackError(
            f"{name} of {target.name} changes nothing: {target.address} takes {' and '.join(sorted(honoured)) or 'no setting'}",
            f"leave {name} out of {TARGETS_FILE}, or measure at an address that takes it: {' or '.join(able)}",
        )


def _settings_of(target: Target) -> frozenset[str]:
    return getattr(transport(target), "TAKES", SETTINGS_OF_BOARDS)


def _check_folder(target: Target) -> None:
    if not _OWN_FOLDER.fullmatch(target.folder) or ".." in target.folder.split("/"):
        raise EdgepackError(
            f"not a folder that edgepack makes on a board: {target.folder!r} of {target.name}",
            "name one in the home folder, such as .edgepack, or an absolute one, by letters, digits, '.', '_' and '-'",
        )
