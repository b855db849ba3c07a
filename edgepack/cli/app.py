"""The `edgepack` command: finds the module of a command, runs it, and turns every end into one line and an exit code."""

import errno
import gc
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command as click_command

from edgepack.cli.command import what_remains
from edgepack.cli.printing import show_error, show_text
from edgepack.core.errors import EdgepackError, stopped_in_rust
from edgepack.core.terminal import screened_errors

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

# Each command is imported when it is asked for, so that `edgepack profiles` does not pay for `edgepack build`.
COMMANDS = {  # name: module, function or typer app, heading in --help
    "profiles": ("edgepack.cli.profile_commands", "profiles", "Look around"),
    "doctor": ("edgepack.cli.doctor_command", "doctor", "Look around"),
    "plan": ("edgepack.cli.build_commands", "plan", "Make a pack"),
    "build": ("edgepack.cli.build_commands", "build", "Make a pack"),
    "search": ("edgepack.cli.search_command", "search", "Make a pack"),
    "measure": ("edgepack.cli.pack_commands", "measure", "Use a pack"),
    "compare": ("edgepack.cli.pack_commands", "compare", "Use a pack"),
    "verify": ("edgepack.cli.pack_commands", "verify", "Use a pack"),
    "generate": ("edgepack.cli.pack_commands", "generate", "Use a pack"),
    "ship": ("edgepack.cli.pack_commands", "ship", "Use a pack"),
    "check-architecture": ("edgepack.cli.check_commands", "check_architecture", "Look around"),
    "target": ("edgepack.cli.target_commands", "app", "Machines to measure on"),
}


class Commands(TyperGroup):
    """The table above as the commands of a click group."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, name, panel = COMMANDS[cmd_name]
        content = getattr(import_module(module), name)
        if not isinstance(content, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command(cmd_name, rich_help_panel=panel)(content)
            return click_command(single)
        command = click_command(content)
        command.name, command.rich_help_panel = cmd_name, panel
        return command


_OBJECTS_A_SEARCH = 20_000  # new ones before Python looks for cycles: by its own 700 the imports of a build took a fifth longer

app = typer.Typer(
    name="edgepack",
    cls=Commands,
    help="Turn a trained transformer and a device profile into a measured pack for that device.",
    epilog="Exit codes: 0 all is well; 1 a mistake to correct; 2 done, and over a budget; 130 and 143 stopped by a signal.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        show_text(f"edgepack {version('edgepack')}")
        raise typer.Exit(0)


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version of edgepack.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


# Paths that a user gave and that no check of a command met: one border for all of them. What else fails is our bug.
_REFUSED_BY_THE_SYSTEM = {
    errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOTDIR, errno.EBUSY, errno.ENOSPC,
}  # fmt: skip


class _Stopped(SystemExit):
    """A signal that ends the run: what is open is closed on the way out, and no traceback is shown.

    A SystemExit, because event loops and libraries let it pass, where they keep another error as the failure of a connection.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def _stop(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
    if loop := _running_loop():  # between two of its callbacks: an error in the middle of one leaves a connection half-changed
        loop.call_soon_threadsafe(_end, number)
    else:
        _end(number)


def _end(number: int) -> None:
    raise _Stopped(number)


def _running_loop() -> "AbstractEventLoop | None":
    """None too where no command has loaded asyncio, which costs a tenth of a second."""
    try:
        return sys.modules["asyncio"].get_running_loop() if "asyncio" in sys.modules else None
    except RuntimeError:  # no loop runs in this thread
        return None


def main() -> None:
    """Exit codes: 0 nothing is over budget, 1 a mistake of the user, 2 done and over a budget, 130 and 143 stopped by a signal."""
    gc.set_threshold(_OBJECTS_A_SEARCH, 20, 20)
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it, and goes on to do so
        signal.signal(signal.SIGINT, _stop)
    with screened_errors():
        sys.exit(_ended())


def _ended() -> int:
    """Runs the command; its exit code."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
        sys.stdout.flush()  # here, where a full disk can still be told
        return code
    except EdgepackError as error:
        code, line = 1, f"edgepack: {error}"
    except typer.TyperException as error:  # an unknown flag, a missing one, a value of the wrong type
        code, line = 1, f"edgepack: {error.format_message()}\n  fix: see `edgepack {_command_name()}--help`"
    except OSError as error:
        _drop_what_is_not_written()
        refusal = refused_by_the_system(error)
        if isinstance(error, BrokenPipeError):  # whoever read the output has ended
            return 1
        if refusal is None:
            raise
        code, line = 1, f"edgepack: {refusal}"
    except _Stopped as stopped:
        name = {signal.SIGINT: "Ctrl-C (SIGINT)"}.get(stopped.number, signal.Signals(stopped.number).name)
        code, line = 128 + stopped.number, f"edgepack: stopped by {name}. {what_remains()}"
    except BaseException as error:
        refusal = stopped_in_rust(error)
        if refusal is None:
            raise
        code, line = 1, f"edgepack: {refusal}"
    show_error(line)
    return code


def refused_by_the_system(error: OSError) -> EdgepackError | None:
    """What is told of a path that the system refuses, and of a full disk; None for every other failure."""
    if error.errno == errno.ENOSPC and error.filename is None:  # of a file that is open, or of standard output
        return EdgepackError(f"a file or the output cannot be written: {error.strerror}", "free some space, or write to another disk")
    is_missing = error.errno == errno.ENOENT and _is_of_the_command_line(error.filename)
    if (error.errno not in _REFUSED_BY_THE_SYSTEM and not is_missing) or error.filename is None:
        return None
    return EdgepackError(f"{error.filename}: the system refuses it: {error.strerror}", "check the path, and the permissions of its folders")


def _is_of_the_command_line(name: object) -> bool:
    """Whether a word of the command names this path or a folder above it: a file of our own that is missing is a bug."""
    words = {Path(word.partition("=")[2] or word).absolute() for word in sys.argv[1:]}
    return isinstance(name, str) and not words.isdisjoint((Path(name).absolute(), *Path(name).absolute().parents))


def _drop_what_is_not_written() -> None:
    """What standard output does not take; Python would try once more at its end, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command_name() -> str:
    """The command of this call with a blank behind it, for `edgepack NAME --help`."""
    name = next((word for word in sys.argv[1:2] if word in COMMANDS), "")
    return f"{name} " if name else ""
