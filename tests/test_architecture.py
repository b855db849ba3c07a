"""Imports point one way, targets stand alone, and what must be light is light."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "edgepack"

ROOMS = {
    "core",
    "tasks",
    "plan",
    "model",
    "compress",
    "pack",
    "export",
    "quantize",
    "measure",
    "report",
    "ship",
    "pipeline",
    "search",
    "cli",
}
LIGHT = ("core", "tasks", "plan", "pack", "measure", "report", "ship", "cli")  # importing any of their modules loads nothing heavy
PACKAGES_OF = {"litert": {"ai_edge_litert", "tflite_runtime"}}  # one runtime under two names: the second where the first has no wheel
HEAVY = {"torch", "transformers", "onnx", "onnxruntime", "datasets"}
NO_NAMES = {
    "found",
    "one",
    "own",
    "told",
    "said",
    "made",
    "taken",
    "seen",
    "chosen",
    "true",
    "kept",
}  # a name is a noun: it says what a thing is
PUBLIC_KEYS = {  # fields that a pack, a report or an app reads by this name
    ("edgepack/measure/emulation.py", "found"),
    ("edgepack/measure/machines/boards.py", "found"),
    ("targets/module/results.py", "chosen"),
}

_EXPLAINED = re.compile(r"(?:^|[.;\]] )\s*((?:[a-z_]\w*)(?:, [a-z_]\w*)*): ", re.MULTILINE)
OF_OTHERS = {  # names in docstrings that are of something else than their function
    ("edgepack/pipeline/vector_stage.py", "binary"),  # the other kind of code
    ("targets/module/tags.py", "average"),  # what is left when the other strategies are told apart
    ("targets/module/writing.py", "window"),  # one of the settings that are passed on
}


def in_this_environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    result = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            result.add(node.module)
    return result


def test_the_package_holds_rooms_and_nothing_beside_them():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == ROOMS
    assert {path.name for path in PACKAGE.iterdir() if path.is_file()} == {"__init__.py", "__main__.py", "py.typed"}


def test_the_rooms_import_downwards_only():
    """The contracts stand in pyproject.toml."""
    done = subprocess.run(["lint-imports", "--no-cache"], cwd=ROOT, env=in_this_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_targets_and_edgepack_never_import_each_other():
    for path in (ROOT / "targets").glob("*.py"):
        assert not any(name.split(".")[0] == "edgepack" for name in imports_of(path)), path
    local = {path.stem for path in (ROOT / "targets").glob("*.py")}
    for path in modules():
        assert not {name.split(".")[0] for name in imports_of(path)} & local, path


def test_targets_need_the_standard_library_numpy_and_one_runtime():
    """generation.py asks for tokenizers where a pack has stop strings, coded.py for zstd where weights need it; both refuse by name."""
    more = {"generation": {"tokenizers"}, "coded": {"compression", "zstandard"}}
    local = {path.stem for path in (ROOT / "targets").glob("*.py")}
    for path in (ROOT / "targets").glob("*.py"):
        outside = {name.split(".")[0] for name in imports_of(path)} - set(sys.stdlib_module_names) - local - {"__future__"}
        runtime = path.stem.removeprefix("run_").removeprefix("open_")
        assert outside <= {"numpy", *PACKAGES_OF.get(runtime, {runtime}), *more.get(path.stem, ())}, path


def test_a_module_needs_numpy_tokenizers_and_one_runtime_on_the_device():
    """Beside the standard library; relative imports are its own. cryptography: where it is signed; waitress: where it serves; jinja2:
    where it chats."""
    more = {"session_onnxruntime": {"onnxruntime"}, "session_litert": PACKAGES_OF["litert"], "server": {"waitress"}, "chat": {"jinja2"},
            "chat_limits": {"jinja2"}}  # fmt: skip
    for path in (ROOT / "targets" / "module").glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        result = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        result |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
        outside = {name.split(".")[0] for name in result} - set(sys.stdlib_module_names) - {"__future__"}
        assert outside <= {"numpy", "tokenizers", "cryptography"} | more.get(path.stem, set()), path


def test_light_rooms_load_nothing_heavy():
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for room in LIGHT for path in (PACKAGE / room).rglob("*.py")]
    code = f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\nprint(*({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("command", [["--help"], ["profiles"], ["plan", "--help"], ["build", "--help"]])
def test_help_and_profiles_load_no_torch(command):
    code = (
        "import sys\nsys.argv = ['edgepack', *sys.argv[1:]]\nfrom edgepack.cli.app import main\n"
        "try:\n    main()\nfinally:\n    print('HEAVY', sorted({'torch', 'transformers', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout


def test_the_public_names_are_few_and_all_there():
    import edgepack

    assert len(edgepack.__all__) <= 16
    for name in edgepack.__all__:
        assert getattr(edgepack, name)


@pytest.mark.parametrize(("package", "transport"), [("asyncssh", "ssh"), ("adbutils", "adb"), ("playwright", "browser")])
def test_a_transports_package_is_imported_by_its_own_file_alone_and_only_when_it_is_used(package, transport):
    def packages(names: set[str]) -> set[str]:
        return {name.split(".")[0] for name in names}

    for path in modules():
        assert package not in packages(imports_of(path, top_level_only=True)), path
        is_its_file = path.parent.name == "transports" and path.stem == transport
        assert is_its_file or package not in packages(imports_of(path)), path


def test_no_pickle_and_no_shell_strings():
    for path in [*modules(), *(ROOT / "targets").rglob("*.py")]:
        text = path.read_text()
        assert "pickle" not in {name.split(".")[0] for name in imports_of(path)}, path
        assert "shell=True" not in text and "os.system" not in text and "torch.load" not in text, path


def test_names_are_nouns_that_say_what_a_thing_is():
    """Variables, parameters, functions, classes and attributes; a key of a file keeps its name, as packs of today are read by it."""
    vague = []
    for path in [*modules(), *(ROOT / "targets").rglob("*.py")]:
        place = path.relative_to(ROOT).as_posix()
        names = {(node.lineno, name) for node in ast.walk(ast.parse(path.read_text())) if (name := _defined(node)).strip("_") in NO_NAMES}
        vague += [f"{place}:{line} {name}" for line, name in sorted(names) if (place, name) not in PUBLIC_KEYS]
    assert not vague


def test_what_the_docstring_of_a_function_explains_by_name_is_in_the_function():
    """`limit: of the file` is of a parameter, of a key that the function reads or gives, or of a value that it tells apart."""
    wrong = []
    for path in [*modules(), *(ROOT / "targets").rglob("*.py")]:
        place = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node)):
                words = set(re.findall(r"\w+", " ".join(map(ast.unparse, [node.args, *node.body[1:]]))))
                named = {name for names in _EXPLAINED.findall(text) for name in names.split(", ")} - words
                vague = {name for name in re.findall(r"`([a-z_]\w*)`", text) if name in NO_NAMES} - words
                wrong += [(place, name) for name in sorted(named | vague)]
    assert not set(wrong) - OF_OTHERS


def _defined(node: ast.AST) -> str:
    if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
        return node.id if isinstance(node, ast.Name) else node.attr
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    return (node.arg if isinstance(node, ast.arg) else "") or (getattr(node, "asname", None) or "")
