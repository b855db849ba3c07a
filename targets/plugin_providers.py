"""Execution providers of onnxruntime that come as packages of their own. Standard library only; the runtime is handed in."""

from __future__ import annotations

import importlib
import importlib.util

_PACKAGES = {"QNNExecutionProvider": "onnxruntime_qnn"}  # by onnxruntime's name of the provider


def installed(name) -> bool:
    return name in _PACKAGES and importlib.util.find_spec(_PACKAGES[name]) is not None


def add(onnxruntime, options, name) -> None:
    """Registers the provider's library, once, and has the session's options ask for it on the first device that it names."""
    package = importlib.import_module(_PACKAGES[name])
    if name not in onnxruntime.get_available_providers():
        onnxruntime.register_execution_provider_library(name, package.get_library_path())
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]
    settings = {"backend_path": package.get_qnn_htp_path()} if name == "QNNExecutionProvider" else {}
    options.add_provider_for_devices(devices[:1], settings)
