"""A front with everything that a page can show, without the hours that it would take."""

import random

from edgepack.plan.profile import Budget
from edgepack.search.candidates import Factors
from edgepack.search.front import Cost, Figure, Front, Point, Progress, Tried
from edgepack.search.space import DimensionRow


def point(number, drop, latency_ms, file_mb, origin="predicted", **more):
    """One pack; `more` replaces what it would have otherwise."""
    values = {
        "number": number,
        "trial": number * 3,
        "name": "",
        "student": f"{number}x384",
        "precision": "int8",
        "params": 17_000_000,
        "metric": "accuracy",
        "score": 0.92 - drop / 100,
        "low": 0.91 - drop / 100,
        "high": 0.93 - drop / 100,
        "score_drop": drop,
        "latency_ms": Figure(value=latency_ms, origin=origin),
        "file_mb": Figure(value=file_mb, origin="measured"),
        "ram_mb": Figure(value=file_mb * 1.4, origin="predicted"),
        "load_ms": Figure(value=file_mb * 10, origin="predicted"),
        "over": {},
        "pack_id": "0" * 16,
        "settings": {"student.layers": number, "student.hidden": 384, "prune_ffn": 0.25, "precision": "int8", "vocabulary": None},
        "epochs": 2,
        "recipe_file": f"{number}.toml",
        "command": f"edgepack build --recipe packs/front/{number}.toml --out packs/raspberry-pi-{number}",
    }
    return Point(**(values | more))


def front(**more):
    """A front of six packs after thirty trials."""
    drawn = random.Random(0)
    kinds = ["first"] * 6 + ["random" if number % 4 == 3 else "sampler" for number in range(6, 30)]
    tried = []
    for number, kind in enumerate(kinds):
        latency_ms = drawn.uniform(10, 60)
        drop = 60 / latency_ms + drawn.uniform(0, 5)
        figures = {"latency_ms": latency_ms, "file_mb": latency_ms / 2.5, "ram_mb": latency_ms / 2, "load_ms": latency_ms * 4}
        failed = {"score_drop": None, "failure": "no such thing"} if number == 20 else {"score_drop": drop}
        tried.append(Tried(number=number, kind=kind, name="", settings={"student.layers": 3}, seconds=9.0, **figures, **failed))
    points = (
        point(1, -0.1, 62.0, 23.0, over={"latency_ms": 1.24}, name="the teacher's shape in int8 (no training)", student="6x384"),
        point(2, 0.4, 48.0, 17.6, name="the planner's choice"),
        point(3, 0.9, 38.0, 14.0),
        point(4, 1.4, 27.0, 11.0, origin="measured"),
        point(5, 1.9, 17.0, 8.0),
        point(6, 6.0, 9.0, 5.0, over={"score_drop": 3.0}, is_dominated=True),
    )
    values = {
        "study": "0" * 24,
        "model": "models/minilm <b>",
        "task": "text-classification",
        "profile": "raspberry-pi",
        "profile_wish": "raspberry-pi",
        "data": "data",
        "date": "2026-11-26",
        "seed": 0,
        "sampler": "tpe",
        "budget": Budget(file_mb=25, latency_ms=50, ram_mb=128, load_ms=1000, score_drop=2.0),
        "teacher": {"latency_ms": 100.3, "file_mb": 91.0, "ram_mb": 62.6, "load_ms": 1070.5, "params": 22.7e6},
        "space": (DimensionRow(key="student.layers", values="6, 5, 4, 3, 2"), DimensionRow(key="precision", values="fp32, int8")),
        "points": points,
        "tried": tuple(tried),
        "importance": {"score_drop": {"student.layers": 0.6, "prune_ffn": 0.3, "precision": 0.1}, "latency_ms": {}, "file_mb": {}},
        "progress": Progress(search=(0.2, 0.3, 0.42, 0.5, 0.52, 0.55), random=(0.1, 0.25, 0.31, 0.4)),
        "correlation": 0.81,
        "factors": Factors(latency_ms=1.08),
        "cost": Cost(minutes=19.4, trials=30, trained=33, failed=1, ruled_out=212),
        "picked": 4,
        "picked_by": "knee",
        "notes": ("The time was short, so the packs were trained for 2 epochs: with more minutes they are better.",),
    }
    return Front(**(values | more))
