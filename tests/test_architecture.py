"""Imports point one way, targets stand alone, and what must be light is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "edgepack"

# Lower layers first; a module imports only from its own layer (within one folder) and from lower ones.
LAYERS = [
    {"errors", "shipped", "parallel"},
    {"frozen", "progress"},
    {"families", "profile", "runnable"},
    {"formats"},
    {"recipe", "shape"},
    {"predict"},
    {"student"},
    {"cut", "steps"},
    {"choice"},
    {"model_steps", "tflite_steps"},
    {"plan"},
    {"model"},
    {"stages", "export"},
    {"gate"},
    {"pack", "cache"},
    {"measure"},
    {"inference", "generation", "golden", "report", "runner", "quantization"},
    {"packing", "pair", "emulated"},
    {"pipeline", "remeasure", "comparison", "demo", "boards", "ship"},
    {"show"},
    {"command"},
    {"pack_commands", "target_commands"},
    {"cli"},
    {"__main__", "__init__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
PACKAGES_OF = {"litert": {"ai_edge_litert", "tflite_runtime"}}  # one runtime under two names: the second where the first has no wheel
HEAVY = {"torch", "transformers", "onnx", "onnxruntime", "datasets", "numpy"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_every_module_has_a_layer():
    assert {part_of(path) for path in modules()} <= set(LEVEL)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    own = part_of(path)
    for name in imports_of(path):
        if name.startswith("edgepack."):
            other = name.split(".")[1]
            assert other == own or LEVEL[other] < LEVEL[own], f"{own} must not import {other}"


def test_targets_and_edgepack_never_import_each_other():
    for path in (ROOT / "targets").glob("*.py"):
        assert not any(name.split(".")[0] == "edgepack" for name in imports_of(path)), path
    local = {path.stem for path in (ROOT / "targets").glob("*.py")}
    for path in modules():
        assert not {name.split(".")[0] for name in imports_of(path)} & local, path


def test_targets_need_the_standard_library_numpy_and_one_runtime():
    local = {path.stem for path in (ROOT / "targets").glob("*.py")}
    for path in (ROOT / "targets").glob("*.py"):
        outside = {name.split(".")[0] for name in imports_of(path)} - set(sys.stdlib_module_names) - local - {"__future__"}
        runtime = path.stem.removeprefix("run_")
        assert outside <= {"numpy", *PACKAGES_OF.get(runtime, {runtime})}, path


def test_a_module_needs_numpy_tokenizers_and_one_runtime_on_the_device():
    """Beside the standard library; relative imports are its own. cryptography: where it is signed; waitress: where it serves."""
    own = {"session_onnxruntime": {"onnxruntime"}, "session_litert": PACKAGES_OF["litert"], "server": {"waitress"}}
    for path in (ROOT / "targets" / "module").glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        found |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
        outside = {name.split(".")[0] for name in found} - set(sys.stdlib_module_names) - {"__future__"}
        assert outside <= {"numpy", "tokenizers", "cryptography"} | own.get(path.stem, set()), path


@pytest.mark.parametrize(
    "layer", ["errors", "profile", "recipe", "families", "shape", "predict", "student", "choice", "steps", "plan", "cli"]
)
def test_pure_modules_load_nothing_heavy(layer):
    code = f"import sys, edgepack.{layer}; print(' '.join({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("command", [["--help"], ["profiles"], ["plan", "--help"], ["build", "--help"]])
def test_help_and_profiles_load_no_torch(command):
    code = (
        "import sys\nsys.argv = ['edgepack', *sys.argv[1:]]\nfrom edgepack.cli import main\n"
        "try:\n    main()\nfinally:\n    print('HEAVY', sorted({'torch', 'transformers', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout


def test_the_public_names_are_few_and_all_there():
    import edgepack

    assert len(edgepack.__all__) <= 12
    for name in edgepack.__all__:
        assert getattr(edgepack, name)


@pytest.mark.parametrize(("package", "transport"), [("asyncssh", "ssh"), ("adbutils", "adb"), ("playwright", "browser")])
def test_a_transports_package_is_imported_by_its_own_file_alone_and_only_when_it_is_used(package, transport):
    def packages(names: set[str]) -> set[str]:
        return {name.split(".")[0] for name in names}

    for path in modules():
        assert package not in packages(imports_of(path, top_level_only=True)), path
        own = path.parent.name == "transports" and path.stem == transport
        assert own or package not in packages(imports_of(path)), path


def test_no_pickle_and_no_shell_strings():
    for path in [*modules(), *(ROOT / "targets").rglob("*.py")]:
        text = path.read_text()
        assert "pickle" not in {name.split(".")[0] for name in imports_of(path)}, path
        assert "shell=True" not in text and "os.system" not in text and "torch.load" not in text, path
