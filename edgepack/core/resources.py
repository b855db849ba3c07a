"""Finds the folders that are shipped beside the package: in a checkout, an editable install and a wheel."""

from pathlib import Path


def shipped(folder: str) -> Path:
    """The folder `device_profiles` or `targets`: inside the package (wheel) or beside it (checkout)."""
    package = Path(__file__).parent.parent
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder
