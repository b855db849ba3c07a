"""Command lines with a value by chance for one argument: a result, or a refusal in a few words, as for files."""

import contextlib
import io
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import typer
from fuzzing import fault_of
from small import make_data, make_model
from typer.main import get_command

from edgepack.cli.app import COMMANDS, app, refused_by_the_system

# What a user may type; a value that is a path beside the model is a file that is there.
VALUES = (
    "", "x", "-1", "0", "1", "1e308", "nan", "inf", "-inf", "9" * 20, "9" * 5000, "\x1b[31mred", "../../etc/passwd", "a" * 5000,
    "\u202eabc", "\ud800", "é", "{{7*7}}", "$(id)", ";rm", "--", "-", "=", "a=b", "a=", "=b", "1,2", "1.5", "/dev/null",
    "/dev/zero", "/", ".", "~", "a\nb", "٣", "0x10", "1_000", "true", "None", "90d", "2030-13-45", "1.0.0", "com.example", "com..x",
    "ssh://", "ssh://u@h:99999", "adb://", "qemu://", "browser://", "null://", "file:///etc", "http://[::1", "local", "model",
    "data", "pack",
)  # fmt: skip
# Commands that refuse or answer within a second, with what they need. The others do the same checks, and then work for minutes.
LINES = {
    "plan": ["model", "--data", "data", "--profile", "raspberry-pi"],
    "verify": ["pack"],
    "compare": ["pack", "pack"],
    "generate": ["pack", "hello"],
    "ship": ["pack", "--for", "python", "--out", "out"],
    "profiles": [],
    "target check": [],
    "target setup": ["--dry-run"],
    "target remove": [],
}


def make_subjects(place: Path, pack: Path | None = None) -> None:
    """What the command lines name, into `place`, which has to be the working folder."""
    make_model(place / "model")
    make_data(place / "data", {"train": 12, "dev": 8, "test": 8})
    if pack:
        shutil.copytree(pack, place / "pack")


def parameters() -> list[tuple[str, str | None]]:
    """Each command with the flag of each of its options, and with None where it takes an argument."""
    pairs: list[tuple[str, str | None]] = []
    group = get_command(app)
    for line in LINES:
        name, _, inner = line.partition(" ")
        command = group.get_command(typer.Context(group), name)
        command = command.commands[inner] if inner else command
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                pairs.append((line, None))
            elif not parameter.is_flag and parameter.name != "help":
                pairs.append((line, parameter.opts[-1]))
    assert {line.split()[0] for line in LINES} <= set(COMMANDS)
    return pairs


def lines(draw: random.Random) -> Iterator[list[str]]:
    """Without end."""
    pairs = parameters()
    while True:
        line, flag = draw.choice(pairs)
        value, words = draw.choice(VALUES), list(LINES[line])
        if flag is None:
            words[:1] = [value] if words and not words[0].startswith("-") else [value, *words[:1]]
        elif flag in words:
            words[words.index(flag) + 1] = value
        else:
            words.append(f"{flag}={value}")
        yield [*line.split(), *words]


def fault_of_line(words: list[str]) -> str:
    """As the program's main function ends it; what is printed is not looked at."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        fault = fault_of(lambda: _run(words))
    shutil.rmtree("out", ignore_errors=True)
    return f"{' '.join(word[:40] for word in words)}: {fault}" if fault else ""


def _run(words: list[str]) -> None:
    try:
        app(words, standalone_mode=False)
    except (typer.TyperException, typer.Exit):
        return
    except OSError as error:
        raise refused_by_the_system(error) or error from None
