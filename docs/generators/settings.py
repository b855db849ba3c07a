"""Every setting of a recipe file, from the record that reads it."""

from generators.commands import children_of, plain
from generators.tables import GENERATED, fields_table, records_in, summary

INTRO = """
# Settings of a recipe

A recipe is a TOML file with any of these keys. `edgepack plan` and `edgepack build` read it with `--recipe`. A flag on the command
line comes before the file, and has the same name (`prune_heads` is `--prune-heads`). From Python the same record is `edgepack.Recipe`.
A key that is misspelt is an error that names the nearest right key. What is left out is chosen by the plan, or read from the model
and the data.

Paths in the file are relative to the file. A share is written as `"25%"` or `0.25`.
"""

TABLES = {name: f"the table [{name}] below" for name in ("budget", "training", "columns")}
COLUMNS = {"text": "column of the text", "text_pair": "column of a second text", "label": "column of the label"}


def flag_helps() -> dict[str, str]:
    """What the command line says about each flag of `edgepack build`, by the setting's name."""
    import typer

    from edgepack.cli.app import app

    command = children_of(typer.main.get_command(app))["build"]
    return {parameter.name: plain(getattr(parameter, "help", "") or "") for parameter in command.params}


def page() -> str:
    from edgepack.plan.recipe import Recipe

    flags = flag_helps()
    parts = [GENERATED, INTRO.strip(), "## The recipe", fields_table(Recipe, {}, flags | TABLES)]
    for name, field in Recipe.model_fields.items():
        for record in records_in(field.annotation):
            parts += [f"## The table [{name}]", summary(record), fields_table(record, {}, flags | COLUMNS if name == "columns" else flags)]
    return "\n\n".join(part for part in parts if part) + "\n"
