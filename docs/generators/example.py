"""The example in README and quick start: the real output of `edgepack plan` for the demo's model, between two marks."""

import io
import re
from contextlib import redirect_stdout

BEGIN, END = "<!-- example: the output of `edgepack plan --profile raspberry-pi` -->", "<!-- end of example -->"


def with_example(text: str) -> str:
    if BEGIN not in text:
        return text
    block = f"{BEGIN}\n```text\n$ edgepack plan --profile raspberry-pi\n{plan_output()}\n```\n{END}"
    return re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: block, text, flags=re.DOTALL)


def plan_output() -> str:
    """As a terminal of 120 columns shows it."""
    import os
    import tempfile

    from edgepack.cli.app import app

    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "120"
    shown = io.StringIO()
    try:
        with tempfile.TemporaryDirectory() as cache, redirect_stdout(shown):
            app(["plan", "--profile", "raspberry-pi", "--cache", cache], standalone_mode=False)
    finally:
        os.environ.pop("COLUMNS") if columns is None else os.environ.update(COLUMNS=columns)
    return "\n".join(line.rstrip() for line in shown.getvalue().strip().splitlines())
