"""Coded weights in a plan: the codec, and how a device starts with them. Pure."""

from typing import Literal

from edgepack.core.records import Frozen

CODED_FILE = "weights.coded"
CodecName = Literal["deflate", "zstd"]
StartName = Literal["stream", "expand"]


class Coding(Frozen):
    """How the pack's weights are coded. start `stream`: decoded into memory at each start; `expand`: once, into a cache on the device.

    bits: the mean bits that a rounded weight is to take; None: the weights are rounded as without coding.
    """

    verb: Literal["code"] = "code"
    codec: CodecName
    start: StartName
    bits: float | None = None
    why: str
