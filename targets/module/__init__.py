"""A packed model as typed answers, for an app: `answer = load(); answer("some text")`.

Runs on the device with the standard library, numpy, tokenizers and one runtime; never imports edgepack. In a notebook
`edgepack.load(PACK)` runs these same files. Importing this loads neither tokenizers nor the runtime: load() does.
"""

from .errors import BadInput, Changed, Closed, ModuleError, NotText
from .model import Model, load
from .proof import SelfTest, self_test
from .results import Answer, Entities, Entity, Generated, Label, Labels, Piece, Vector

__all__ = [
    "Answer", "BadInput", "Changed", "Closed", "Entities", "Entity", "Generated", "Label", "Labels", "Model", "ModuleError", "NotText",
    "Piece", "SelfTest", "Vector", "load", "self_test",
]  # fmt: skip
