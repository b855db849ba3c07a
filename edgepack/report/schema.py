"""The JSON Schema of report.json and comparison.json, from the very records that write them; published as report.schema.json beside this.

`python -m edgepack.report.schema` writes the published file anew.
"""

import json
from pathlib import Path
from typing import Any

from edgepack.report.comparison import ComparisonReport
from edgepack.report.records import Report

PUBLISHED = Path(__file__).parent / "report.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """One schema for both: a document is the one or the other. Fields come and go with the number in `schema`."""
    parts = {record.__name__: record.model_json_schema(by_alias=True, mode="serialization") for record in (Report, ComparisonReport)}
    definitions = {name: part for schema in parts.values() for name, part in schema.pop("$defs", {}).items()}
    return {
        "$schema": _DIALECT,
        "title": "What edgepack measured",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in parts],
        "$defs": definitions | parts,
    }


def text() -> str:
    """The JSON schema of report.json, as the file that edgepack ships."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    PUBLISHED.write_text(text(), encoding="utf-8")
