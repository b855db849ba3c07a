"""Which release of a module is shipped: its version, its time, until when it is valid, and whose signatures it accepts.

All of it stands in module.json, which is signed. The name, the oldest version and the public keys also stand in the module's code, so
that the model of another module, or an older one, is refused where somebody puts it in.
"""

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.core.showing import shown
from edgepack.ship.signing import read_public_key

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_VERSION = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")
_SECONDS = re.compile(r"0|[1-9][0-9]{0,9}")  # up to the year 2286
_MOST_DAYS = 36500


class Release(Frozen):
    """minimum_version: the oldest model that the module's code opens. public_keys: 64 hexadecimal digits each, the signer's first."""

    version: str
    minimum_version: str
    created: str
    expires: str | None
    public_keys: tuple[str, ...]

    @property
    def created_at(self) -> datetime:
        return datetime.strptime(self.created, TIME_FORMAT).replace(tzinfo=UTC)


def read_release(version: str, minimum_version: str | None, expires: str | None, keys: Sequence[str], also_trust: Sequence[str]) -> Release:
    """keys: of whoever signs now. EdgepackError: a version, a time or a key that is none, or a minimum above the version."""
    newest = _numbers(version, "--version")
    oldest = version if minimum_version is None else minimum_version
    if _numbers(oldest, "--minimum-version") > newest:
        raise EdgepackError(
            f"--minimum-version {oldest} is above --version {version}: the module would refuse its own model",
            "give a --minimum-version that is at most --version",
        )
    if also_trust and not keys:
        raise EdgepackError("--also-trust names more keys, but the module is not signed", "add --sign with your private key")
    trusted = tuple(dict.fromkeys((*keys, *(read_public_key(Path(file)) for file in also_trust))))
    created = _created()
    return Release(
        version=version,
        minimum_version=oldest,
        created=created.strftime(TIME_FORMAT),
        expires=None if expires is None else _expiry(expires, created).strftime(TIME_FORMAT),
        public_keys=trusted,
    )


def with_constants(text: str, values: Mapping[str, str]) -> str:
    """A source of targets/ or jvm/java, where each text that is to be replaced must stand exactly once."""
    for before, after in values.items():
        if text.count(before) != 1:
            raise RuntimeError(f"{before!r} stands {text.count(before)} times in a module's source")
        text = text.replace(before, after)
    return text


def _numbers(version: str, flag: str) -> tuple[int, ...]:
    match = _VERSION.fullmatch(version)
    if match is None:
        raise EdgepackError(f"{flag} {version!r} is not a version of a module", "give three numbers: 1.4.0")
    return tuple(int(part) for part in match.groups())


def _created() -> datetime:
    """Now; or SOURCE_DATE_EPOCH, by which builds that can be reproduced agree on a time (reproducible-builds.org)."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not fixed:
        return datetime.now(UTC)
    if not _SECONDS.fullmatch(fixed):
        fix = "give whole seconds since 1970, such as 1750000000, or unset it"
        raise EdgepackError(f"the variable SOURCE_DATE_EPOCH is no time of a module: {shown(fixed)}", fix)
    return datetime.fromtimestamp(int(fixed), UTC)


def _expiry(text: str, created: datetime) -> datetime:
    """Behind today too: by a fixed time of creation a module could be over before it is shipped."""
    days = re.fullmatch(r"([1-9][0-9]{0,4})d", text)
    try:
        is_in_days = days is not None and int(days[1]) <= _MOST_DAYS
        date = created + timedelta(days=int(days[1])) if is_in_days else datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        date = None
    if date is None or date <= max(created, datetime.now(UTC)):
        fix = "give days from the module's creation, such as 90d, or a date, such as 2030-12-31"
        raise EdgepackError(f"--expires {shown(text)} is no time to come", fix)
    return date
