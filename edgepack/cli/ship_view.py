"""What the terminal shows of a shipped module: where it is, and what it adds to an app."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgepack.ship.shipping import Shipped


def shipped_view(shipped: Shipped, out: Path) -> RenderableType:
    """What `edgepack ship` has written, and how many MB each part adds to an app."""
    what = f"{shipped.task} of pack {shipped.pack_id} as a module for {shipped.platform}"
    head = Text(f"{shipped.name} {shipped.version}: {what}", style="bold")
    signed = "not signed" if shipped.signed_by is None else f"signed; public key {shipped.signed_by}"
    expires = "" if shipped.expires is None else f"; expires at {shipped.expires}"
    signed = Text(signed + expires, style="dim")
    table = Table("part", "what it adds", "MB", box=None, pad_edge=False)
    for size in shipped.sizes:
        table.add_row(size.part, size.what, "–" if size.bytes is None else f"{size.bytes / 1e6:.2f}")
    warnings = [Text(f"warning: {warning}", style="yellow") for warning in shipped.warnings]
    return Group(
        head, signed, Text(), table, *warnings, Text(), Text(f"read {out}/README.md; where each figure comes from stands there too")
    )
