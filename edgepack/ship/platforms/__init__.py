"""One file a platform, found by its name."""

from pathlib import Path


def platform_names() -> list[str]:
    """The platforms that there are: the files beside this one."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
