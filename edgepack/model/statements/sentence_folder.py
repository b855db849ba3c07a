"""A sentence-transformers folder as a whole: its statement files as one SentenceStatement."""

from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.model.statements.config_sentence_transformers import FILE as PROMPTS_FILE
from edgepack.model.statements.config_sentence_transformers import read_sentence_transformers
from edgepack.model.statements.modules_json import FILE, gives_logits, read_modules, transformer_folder
from edgepack.model.statements.pooling_config import leaves_prompts_out
from edgepack.model.statements.sentence_bert_config import FILES, read_sentence_bert_config
from edgepack.model.statements.sentence_record import SentenceStatement, Splade
from edgepack.model.statements.statement_file import read_list, refusal

_SETFIT_HEAD = "model_head.pkl"
_CONVERTED = """where you trust it, make the head a part of the model once, and give the new folder; its vectors are the classes' logits:
    import joblib, torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense
    head, model = joblib.load("FOLDER/model_head.pkl"), SentenceTransformer("FOLDER")
    weight, bias = torch.tensor(head.coef_).float(), torch.tensor(head.intercept_).float()
    model.append(Dense(*weight.T.shape, activation_function=torch.nn.Identity(), init_weight=weight, init_bias=bias))
    model.save_pretrained("NEW_FOLDER")"""


def read_sentence_folder(folder: Path) -> SentenceStatement | None:
    """None: the library itself would see a plain transformers folder. EdgepackError names what a pack does not reproduce."""
    if (folder / _SETFIT_HEAD).is_file():
        raise EdgepackError(f"{folder} is a SetFit model whose head is a pickle ({_SETFIT_HEAD}): a pickle can run any code", _CONVERTED)
    if not (folder / FILE).is_file():
        return _without_modules(folder)
    parts = read_modules(folder)
    is_sparse = any(isinstance(part, Splade) for part in parts)
    length, lower_case = read_sentence_bert_config(transformer_folder(folder), is_sparse, gives_logits(folder))
    asked = read_sentence_transformers(folder, "dot" if is_sparse else "cosine")
    if asked["default_prompt"] and not parts:
        why = "a prompt before the texts of a CrossEncoder is not reproduced"
        raise refusal(PROMPTS_FILE, "default_prompt_name", asked["default_prompt"], why, "remove it, and put the prompt before your texts")
    if any(asked["prompts"].values()):
        for entry in read_list(folder / FILE):
            if entry["type"].endswith(".Pooling") and leaves_prompts_out(folder, entry["path"]):
                why = "a prompt whose tokens are left out of the vector is not reproduced"
                raise refusal(f"{entry['path']}/config.json", "include_prompt", False, why, f"remove the prompts from {PROMPTS_FILE}")
    return SentenceStatement(parts=parts, max_length=length, lower_case=lower_case, **asked)


def _without_modules(folder: Path) -> SentenceStatement | None:
    """Without modules.json the library reads the prompts alone; a length in sentence_bert_config.json would be passed over there too."""
    if not any((folder / name).is_file() for name in (*FILES, PROMPTS_FILE)):
        return None
    asked = read_sentence_transformers(folder)
    return SentenceStatement(**asked)
