"""config_sentence_transformers.json: prompts, and how two vectors are compared."""

from pathlib import Path
from typing import Any, get_args

from edgepack.model.statements.statement_file import check_keys, read_object, refusal, typed
from edgepack.tasks.common.similarity import Similarity

FILE = "config_sentence_transformers.json"
_KNOWN = (
    "__version__", "requirements",  # versions of libraries
    "model_type",  # the class that the library opens; the parts in modules.json are what counts
    "activation_fn",  # read by cross_encoder.py
    "keep_in_fp32_modules",  # everything is computed in fp32 before it is exported
    "prompts", "default_prompt_name", "similarity_fn_name", "max_active_dims", "truncate_dim",
)  # fmt: skip


def read_sentence_transformers(folder: Path, usual: Similarity = "cosine") -> dict[str, Any]:
    """dimensions, most_active, prompts, default_prompt and similarity of a SentenceStatement. Prompts that are null are left out.

    usual: the similarity of a folder that states none.
    """
    content = read_object(folder / FILE)
    check_keys(FILE, content, _KNOWN)
    most_active = typed(FILE, content, "max_active_dims", int, None)
    if most_active is not None and most_active < 1:
        raise refusal(FILE, "max_active_dims", most_active, "at least one weight of a sparse vector stays", "set it to null")
    prompts = typed(FILE, content, "prompts", dict, {})
    for name, text in prompts.items():
        if text is not None and not isinstance(text, str):
            raise refusal(FILE, f"prompts.{name}", text, "a prompt is a text", "write it as a text")
    default = typed(FILE, content, "default_prompt_name", str, None)
    if default is not None and default not in prompts:
        known = ", ".join(prompts) or "none"
        raise refusal(FILE, "default_prompt_name", default, "there is no such prompt", f"name one of the prompts: {known}")
    similarity = typed(FILE, content, "similarity_fn_name", str, usual)
    if similarity not in get_args(Similarity):
        known = ", ".join(get_args(Similarity))
        raise refusal(FILE, "similarity_fn_name", similarity, "edgepack does not know this comparison", f"it knows {known}")
    texts = {name: text for name, text in prompts.items() if text is not None}
    dimensions = typed(FILE, content, "truncate_dim", int, None)
    if dimensions is not None and dimensions < 1:
        raise refusal(FILE, "truncate_dim", dimensions, "a vector has at least one number", "set it to null")
    return {
        "dimensions": dimensions,
        "most_active": most_active,
        "prompts": texts,
        "default_prompt": default if default in texts else None,
        "similarity": similarity,
    }
