"""A sentence-transformers folder as a whole: its statement files as one SentenceStatement."""

from pathlib import Path

from edgepack.model.statements.config_sentence_transformers import FILE as PROMPTS_FILE
from edgepack.model.statements.config_sentence_transformers import read_sentence_transformers
from edgepack.model.statements.modules_json import FILE, read_modules, transformer_folder
from edgepack.model.statements.pooling_config import leaves_prompts_out
from edgepack.model.statements.sentence_bert_config import FILES, read_sentence_bert_config
from edgepack.model.statements.sentence_record import SentenceStatement
from edgepack.model.statements.statement_file import read_list, refusal


def read_sentence_folder(folder: Path) -> SentenceStatement | None:
    """None: the library itself would see a plain transformers folder. EdgepackError names what a pack does not reproduce."""
    if not (folder / FILE).is_file():
        return _without_modules(folder)
    parts = read_modules(folder)
    length, lower_case = read_sentence_bert_config(transformer_folder(folder))
    asked = read_sentence_transformers(folder)
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
