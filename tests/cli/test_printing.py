"""No character of a stranger reaches the terminal as a command to it, whichever command prints it."""

import ast
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from edgepack.cli import machine_views, plan_views, printing, ship_view, views
from edgepack.cli.check_commands import _view as architecture_view
from edgepack.core.reading import read_json_object
from edgepack.measure.machines.boards import Finding, TargetCheck
from edgepack.measure.machines.machine import Removal, SetUp
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.check_architecture import AbilityCheck, ArchitectureCheck
from edgepack.pipeline.doctor import examine
from edgepack.pipeline.verify import Verification
from edgepack.plan.profile_check import ProfileCheck, TriedPlan
from edgepack.report.records import Report
from edgepack.ship.shipment import Carried, Size
from edgepack.ship.shipping import Shipped

# Clears the screen, names the window, goes back, turns the order of letters, rings; and what rich would read as its markup.
HOSTILE = "a\x1b[2Jb\x1b]0;owned\x07c\rd\x9b31me\u202ef\x08\x00\u2066[/red][link=http://evil]:smile:[bold]"
ROOT = Path(__file__).parent.parent.parent


def hostile(value: Any, kind: Any = None) -> Any:
    """The same record with HOSTILE behind every text that is not one of a few fixed words; nothing is checked again."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return value.model_copy(update={name: hostile(getattr(value, name), field.annotation) for name, field in fields.items()})
    if isinstance(value, str):
        is_fixed = any(get_origin(each) is Literal for each in (kind, *get_args(kind)))
        return value if is_fixed else value + HOSTILE
    if isinstance(value, tuple):
        return tuple(hostile(each, get_args(kind)[0] if get_args(kind) else None) for each in value)
    if isinstance(value, dict):
        return {key: hostile(each) for key, each in value.items()}
    return value


def records(pack_folder):
    """One record for each thing that a command shows, and its view."""
    manifest = read_manifest(pack_folder)
    report = Report.read(read_json_object(pack_folder / "report.json"), "report.json")
    report = report.model_copy(update={"checks": tuple(each.model_copy(update={"next_step": "try this"}) for each in report.checks)})
    kept_names = hostile(report).model_copy(update={"ladder": hostile(report.ladder)})
    board = SetUp(
        target="t", address="a", folder="f", python="3", replaces=False, wheels={}, needed_mb=1.0, done=True, packages={"numpy": "1"}
    )
    shipped = Shipped(
        platform="linux", name="n", package="p", task="t", pack_id="i", signed_by="k", version="1.0.0",
        minimum_version="1.0.0", expires="e",
        sizes=(Size(part="p", what="w", bytes=1, source="s"),), licences=(Carried(what="w", licence="l", carried=True),), warnings=("w",),
    )  # fmt: skip
    checked = TargetCheck(target="t", address="a", pack_id="p", can_run=False, findings=(Finding(what="w", ok=False, found="f", fix="x"),))
    verification = Verification(pack_id="p", files=1, golden_texts=1, largest_difference=0.0, tolerance=0.1, token_ids_equal=1, runtime="r")
    profile = ProfileCheck(
        name="n",
        file="f",
        unusual=("u",),
        ok=False,
        plans=(TriedPlan(runtime="r", precision="int8", model="m", problem="p", fix="x"),),
    )
    architecture = ArchitectureCheck(model_type="m", task="t", checks=(AbilityCheck(ability="a", ok=False, detail="d"),))
    yield "build, measure", lambda: views.report_view(kept_names, HOSTILE)
    yield "verify", lambda: views.verification_view(hostile(verification))
    yield "plan", lambda: plan_views.plan_view(hostile(manifest.plan))
    yield "profiles --check", lambda: plan_views.profile_check_view(hostile(profile))
    yield "doctor", lambda: machine_views.doctor_view(hostile(examine()))
    yield "target check", lambda: machine_views.check_view(hostile(checked))
    yield "target setup", lambda: machine_views.setup_view(hostile(board))
    yield "target remove", lambda: machine_views.removal_view(hostile(Removal(target="t", address="a", removed="r", freed_mb=1.0)))
    yield "ship", lambda: ship_view.shipped_view(hostile(shipped), Path(f"/{HOSTILE}"))
    yield "check-architecture", lambda: architecture_view(hostile(architecture))


def commands_in(text: str) -> set[str]:
    """What a terminal would obey or hide, without the colours that rich gives."""
    return {character for character in text if character != "\n" and (ord(character) < 32 or character in "\x7f\x9b\u202e\u2066")}


def test_no_view_of_a_command_shows_a_strangers_escape_code(pack_folder, capsys):
    for command, view in records(pack_folder):
        printing.show(view())
        shown = capsys.readouterr().out
        assert "\\u001b[2J" in shown.replace("\n", "").replace(" ", ""), command
        assert "[/red]" in shown.replace("\n", "").replace(" ", "") and not commands_in(shown), (command, shown)


def test_colours_stay_and_only_ours(capsys):
    from rich.text import Text

    file = io.StringIO()
    printing.console(file=file, force_terminal=True, color_system="standard").print(Text("no: ", "red") + Text(HOSTILE, "green"))
    codes = re.findall(r"\x1b\[(\d+)m", file.getvalue())
    assert set(codes) == {"31", "32", "0"} and "\\u001b[2J" in re.sub(r"\x1b\[\d+m", "", file.getvalue())
    assert file.getvalue().count("\x1b") == len(codes)


def test_a_generated_text_is_shown_with_its_lines_and_without_codes(capsys):
    printing.show_text("one\ntwo \x1b[2J", end="")
    assert capsys.readouterr().out == "one\ntwo \\u001b[2J"


@pytest.mark.parametrize(
    "arguments", [("verify", HOSTILE), ("profiles", "--check", HOSTILE), (HOSTILE,), ("plan", HOSTILE, "--profile", HOSTILE)]
)
def test_what_a_user_is_told_of_a_strange_name_has_no_code_in_it(arguments, tmp_path):
    arguments = [word.replace("\x00", "") for word in arguments]
    done = subprocess.run([sys.executable, "-m", "edgepack", *arguments], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1 and "1b[2J" in done.stderr and not commands_in(done.stdout + done.stderr), done.stderr
    assert "Traceback" not in done.stderr


def test_a_fault_and_a_librarys_warning_have_no_code_in_them_either():
    code = """
import sys, warnings
from edgepack.core.terminal import drawn_on, screened_errors
with screened_errors():
    warnings.warn("weights of \\x1b[2J are new")
    print("\\r 50% of a bar", file=sys.stderr)
    drawn_on(sys.stderr).write("\\x1b[32mours\\x1b[0m")
    raise RuntimeError("no layer \\x1b[2J\\u202e")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    errors = done.stderr.decode()
    assert done.returncode == 1 and errors.count("\\u001b[2J") == 2 and "\\u202e" in errors and "Traceback" in errors
    assert "\r 50%" in errors and errors.count("\x1b[") == 2 and "\x1b[32mours\x1b[0m" in errors


def test_all_output_of_the_commands_goes_through_one_place():
    """A print or a console of rich elsewhere in the command line would be a way around it."""
    for path in sorted((ROOT / "edgepack" / "cli").glob("*.py")):
        if path.name in {"printing.py", "reference.py"}:  # the latter writes a page of the docs
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "id", getattr(called, "attr", ""))
            assert name not in {"print", "Console", "echo", "secho"}, f"{path.name}:{node.lineno} calls {name}"


def test_output_whose_reader_has_ended_is_no_fault():
    process = subprocess.Popen([sys.executable, "-m", "edgepack", "profiles"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert "Traceback" not in process.stderr.read() and process.wait(60) in (0, 1)
