"""The shipped device profiles and the keys of a profile file."""

from generators.tables import GENERATED, fields_table, table

INTRO = """
# Device profiles

A profile is one TOML file that describes a device. `--profile` takes a name from this table, or the path of a file.
[Add a device](../develop/add-a-device.md) tells how to write one.

Budgets are the profile's own and can be changed by flags (`--latency-ms 40`). They are assumptions about what a product can afford,
and no measurements. A dash means that the profile sets no limit.
"""
LIMITS = ("file_mb", "ram_mb", "latency_ms", "load_ms", "score_drop")


def page() -> str:
    from edgepack.plan import profile as records
    from edgepack.plan.profile import Profile, load_profile, profile_names

    devices = [load_profile(name) for name in profile_names()]
    rows = [
        (
            f"`{device.name}`",
            device.summary,
            f"{device.cpu.cores} x {device.cpu.part}, {device.cpu.clock_ghz:g} GHz",
            device.memory.total_mb,
            f"{device.storage.kind}, {device.storage.read_mb_s:g} MB/s",
            ", ".join(f"{name} {runtime.version}" for name, runtime in device.runtimes.items()),
        )
        for device in devices
    ]
    limits = [(f"`{device.name}`", *(_limit(getattr(device.budget, name)) for name in LIMITS)) for device in devices]
    precisions = [
        (f"`{device.name}`", runtime, f"`{name}`", f"{precision.macs_per_cycle:g}", precision.why)
        for device in devices
        for runtime, row in device.runtimes.items()
        for name, precision in row.precisions.items()
    ]
    parts = [
        GENERATED,
        INTRO.strip(),
        table(("name", "device", "CPU", "memory MB", "storage", "runtimes"), rows),
        "## Budgets",
        table(("name", *(f"`{name}`" for name in LIMITS)), limits),
        "## Precisions",
        "Multiply-accumulates that one core can start in each cycle. The plan's predictions follow from them.",
        table(("name", "runtime", "precision", "a cycle", "why"), precisions),
        "## Keys of a profile file",
        fields_table(Profile, {}),
    ]
    for title, name in (
        ("cpu", "Cpu"), ("memory", "Memory"), ("storage", "Storage"), ("runtimes.NAME", "Runtime"),
        ("runtimes.NAME.precisions", "Precision"), ("budget", "Budget"),
    ):  # fmt: skip
        parts += [f"### The table [{title}]", fields_table(getattr(records, name), {})]
    return "\n\n".join(parts) + "\n"


def _limit(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
