"""The pack's format: its files by hand, every key of pack.json from the records."""

from pathlib import Path

from pydantic import BaseModel

from generators.settings import flag_helps
from generators.tables import GENERATED, fields_table, records_in, summary

MEANINGS = {
    "task": "the task that the model was trained for",
    "inputs": "names of the graph's inputs, in order",
    "outputs": "names of the graph's outputs",
    "per_token": "whether outputs have an axis of tokens",
    "pad_id": "the token that fills up a shorter text",
    "vocab": "tokens that the model knows",
    "stop_ids": "tokens at which a text ends",
    "schema_version": "version of this format; packs of 1 are read too",
    "edgepack": "version of edgepack that wrote the pack",
    "format": "kind of the model file",
    "precision": "what the products are computed in",
    "max_length": "tokens after which a text is cut",
    "labels": "names of the labels, by their number",
    "golden_tolerance": "largest difference that an answer may have from the golden vectors",
    "profile": "the device profile that it was built for",
    "recipe": "what the user fixed",
    "plan": "the steps with their reasons",
    "ladder": "a row for each stage",
    "source": "the model that was brought",
    "data": "the data that was brought",
    "seed": "of every random choice",
    "command": "the command line of the build",
    "versions": "of the libraries of the build",
    "files": "every other file of the pack",
    "name": "its name",
    "bytes": "its size",
    "sha256": "its hash",
    "why": "the reason, as the plan shows it",
    "stage": "the verb of the step that ran",
    "seconds": "time that the stage took",
    "params": "parameters of the model",
    "file_mb": "size, 10^6 bytes",
    "score": "the task's metric on the test split",
    "origin": "where the numbers come from",
}


def page() -> str:
    from edgepack.pack.manifest import Manifest

    records = _all_records(Manifest)
    anchors = {record: record.__name__.lower() for record in records}
    parts = [GENERATED, (Path(__file__).parent / "pack_files.md").read_text(encoding="utf-8").strip(), "## Keys of pack.json"]
    parts.append("Each table below is one record. A key that is not listed here is refused.")
    flags = flag_helps()
    for record in records:
        parts += [f"### {record.__name__}", summary(record), fields_table(record, anchors, flags | MEANINGS)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _all_records(root: type[BaseModel]) -> list[type[BaseModel]]:
    """`root` and every record that it can hold, the nearest first."""
    order = [root]
    for record in order:
        for field in record.model_fields.values():
            order += [child for child in records_in(field.annotation) if child not in order]
    return order
