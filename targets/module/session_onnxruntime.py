"""onnxruntime as a module uses it: with the settings that the pack was measured with, one text at a time."""

from __future__ import annotations

import numpy as np

from .errors import errors_of_runtime
from .machine import saturates_u8s8
from .manifest import check_model
from .open_onnxruntime import PACKED_ENDINGS, Decoder, open_file, version
from .runnable import is_decoder, one_text


class Session:
    """onnxruntime runs one session in many threads at once, so calls need no lock."""

    def __init__(self, weights, manifest, threads, started) -> None:
        careful = manifest["exact"] and saturates_u8s8() is not False  # else this CPU answers otherwise than the one measured on
        self._manifest = manifest

        def session(packed):
            return open_file(weights, manifest["session"], threads, careful, packed=packed)

        with errors_of_runtime("does not open the model"):
            self._session = started(session, version, PACKED_ENDINGS, unless=careful)
        if not is_decoder(manifest):
            check_model(manifest, *([each.name for each in part] for part in (self._session.get_inputs(), self._session.get_outputs())))

    def run(self, ids, type_ids) -> list:
        text = one_text(self._manifest, ids, type_ids)
        feeds = {name: np.array([values], np.int64) for name, values in text.items()}
        with errors_of_runtime("fails on this text"):
            return [output[0] for output in self._session.run(None, feeds)]

    def decoder(self, positions: int) -> Decoder:
        """A text of its own: several may be written at once."""
        return Decoder(self._session, self._manifest["cache"], positions)
