"""Coded weights: they decode to the same file, so that answers stay those of the outside library in every module and both ways to start."""

from dataclasses import replace

from rows_basic import row

_WISHES = {
    "bert": ("text-classification", {"codec": "deflate", "start": "stream"}),
    "distilbert": ("feature-extraction", {"codec": "deflate", "start": "expand"}),
    "llama": ("text-generation", {"codec": "deflate", "start": "stream"}),
}

SITUATIONS = [
    replace(row(family, task), name=f"{family}: {task}, weights coded to {wish['start']}", recipe=wish)
    for family, (task, wish) in _WISHES.items()
]
