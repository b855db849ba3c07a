"""The table of platforms in the docs promises what the platforms do: every cell is asked."""

import inspect
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from edgepack.cli.pack_commands import ship as command
from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import read_manifest
from edgepack.ship.platforms import platform_names
from edgepack.ship.release import read_release
from edgepack.ship.shipment import Shipment, Wishes, read_tokenizing
from edgepack.tasks import task_names

sys.path.append(str(Path(__file__).parent.parent.parent / "docs"))
from generators.platforms import cell


def test_the_commands_flags_name_the_platforms_that_take_them():
    platforms = {name: import_module(f"edgepack.ship.platforms.{name}") for name in platform_names()}
    parameters = inspect.signature(command).parameters
    takers = {wish: [name for name, each in platforms.items() if wish in getattr(each, "TAKES", ())] for wish in Wishes.model_fields}
    takers["package"] = [name for name, each in platforms.items() if getattr(each, "NEEDS_PACKAGE", False)]
    for flag, names in takers.items():
        help_text = get_args(parameters[flag].annotation)[1].help
        assert f"({', '.join(names)}" in help_text, (flag, names)
    assert all(name in get_args(parameters["platform"].annotation)[1].help for name in platforms)


@pytest.mark.parametrize("platform", platform_names())
@pytest.mark.parametrize("task", task_names())
def test_a_cell_says_which_packs_the_module_takes(pack_folder, platform, task):
    module, manifest = import_module(f"edgepack.ship.platforms.{platform}"), read_manifest(pack_folder)
    promise = cell(module, task)
    for format, runtime, name in (("onnx", "onnxruntime", "ONNX"), ("tflite", "litert", "TFLite")):
        changed = {"task": task, "answers": None, "format": format, "plan": manifest.plan.model_copy(update={"runtime": runtime})}
        versions = manifest.versions | {"ai-edge-litert": "2.3.0"}
        shipment = Shipment(
            pack=pack_folder,
            manifest=manifest.model_copy(update=changed | {"versions": versions}),
            platform=platform,
            name="intents",
            package="com.example.intents",
            tokenizing=read_tokenizing(pack_folder),
            signer=None,
            release=read_release("1.0.0", None, None, (), ()),
        )
        if name in promise:
            module.check(shipment)
        else:
            with pytest.raises(EdgepackError):
                module.check(shipment)
