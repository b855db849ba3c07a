"""edgepack: a trained transformer and a device profile become a measured pack. Importing this loads nothing heavy."""

import os
from importlib import import_module
from typing import Any

_PUBLIC = {
    "Budget": "edgepack.plan.profile",
    "EdgepackError": "edgepack.core.errors",
    "Profile": "edgepack.plan.profile",
    "Recipe": "edgepack.plan.recipe",
    "build": "edgepack.pipeline.build",
    "generate": "edgepack.ship.generate",
    "load": "edgepack.ship.load",
    "load_checkpoint": "edgepack.model.checkpoint",
    "load_profile": "edgepack.plan.profile",
    "make_plan": "edgepack.plan.plan",
    "measure_pack": "edgepack.pipeline.measure",
    "verify": "edgepack.pipeline.verify",
}
__all__ = list(_PUBLIC)
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else onnxruntime starts threads and keeps a database of what runs, for its makers


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'edgepack' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
