"""Strict types for texts and numbers in records: only one form is valid, and another form is refused when the record is read."""

from typing import Annotated

from pydantic import Field, StringConstraints

_HIDDEN = r"\x00-\x1f\x7f-\x9f\u200e\u200f\u061c\u2028-\u202e\u2066-\u2069"

FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$")]  # of one folder: no path
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,49}$")]  # a task's name
OneLine = Annotated[str, StringConstraints(max_length=1000, pattern=f"^[^{_HIDDEN}]*$")]  # text for people
PackageName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]  # of a library
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
TensorName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:/-]{1,200}$")]
VersionText = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+!_-]{0,63}$")]

Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
