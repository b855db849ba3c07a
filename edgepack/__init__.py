"""edgepack turns a trained transformer and a device profile into a measured pack. Importing it loads nothing heavy."""

import os
from importlib import import_module
from typing import Any

_PUBLIC = {
    "Budget": "edgepack.plan.profile",
    "EdgepackError": "edgepack.core.errors",
    "Profile": "edgepack.plan.profile",
    "Recipe": "edgepack.plan.recipe",
    "Training": "edgepack.plan.training_settings",
    "build": "edgepack.pipeline.build",
    "compare": "edgepack.pipeline.compare",
    "find_targets": "edgepack.measure.machines.targets",
    "generate": "edgepack.ship.generate",
    "load": "edgepack.ship.load",
    "load_checkpoint": "edgepack.model.checkpoint",
    "load_profile": "edgepack.plan.profile",
    "make_plan": "edgepack.plan.plan",
    "measure_pack": "edgepack.pipeline.measure",
    "ship_pack": "edgepack.ship.shipping:ship",  # `edgepack.ship` is the room
    "verify": "edgepack.pipeline.verify",
}
__all__ = list(_PUBLIC)
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else onnxruntime starts threads and keeps a database of what runs, for its makers
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # else a hub is told which libraries are installed here


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'edgepack' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return __all__
