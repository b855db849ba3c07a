"""A sentence-transformers folder as a whole: its statement files as one SentenceStatement."""

from pathlib import Path
from typing import Any

from edgepack.model.statements.config_sentence_transformers import FILE as PROMPTS_FILE
from edgepack.model.statements.config_sentence_transformers import read_sentence_transformers
from edgepack.model.statements.config_setfit import SetFit, read_setfit
from edgepack.model.statements.modules_json import FILE, begins_with_table, check_widths, gives_logits, read_modules, transformer_folder
from edgepack.model.statements.sentence_bert_config import FILES, read_sentence_bert_config, refuse_sentence_bert_config
from edgepack.model.statements.sentence_record import Pooling, SentenceStatement, Splade
from edgepack.model.statements.statement_file import refusal


def read_sentence_folder(folder: Path) -> SentenceStatement | None:
    """None: the library itself would see a plain transformers folder. EdgepackError names what a pack does not reproduce."""
    setfit = read_setfit(folder)
    if not (folder / FILE).is_file():  # the library takes the mean then, and reads no other file of its own
        return None if setfit is None else _classifier(setfit, SentenceStatement(parts=(Pooling(modes=("mean",)),)))
    parts = read_modules(folder)
    is_sparse = any(isinstance(part, Splade) for part in parts)
    if begins_with_table(folder):
        refuse_sentence_bert_config(transformer_folder(folder))
    length, lower_case = read_sentence_bert_config(transformer_folder(folder), is_sparse, gives_logits(folder))
    asked = read_sentence_transformers(folder, "dot" if is_sparse else "cosine")
    if asked["default_prompt"] and not parts:
        why = "a prompt before the texts of a CrossEncoder is not reproduced"
        raise refusal(PROMPTS_FILE, "default_prompt_name", asked["default_prompt"], why, "remove it, and put the prompt before your texts")
    if asked["dimensions"] is not None and (setfit is not None or is_sparse):
        why = "only a SentenceTransformer's vectors are cut"
        raise refusal(PROMPTS_FILE, "truncate_dim", asked["dimensions"], why, "set it to null")
    if not is_sparse:
        _check_dense(asked)
    if setfit is not None:
        return _classifier(setfit, SentenceStatement(parts=parts, max_length=length, lower_case=lower_case, **asked))
    if not any(asked["prompts"].values()):  # nothing to leave out
        parts = tuple(part.model_copy(update={"include_prompt": True}) if isinstance(part, Pooling) else part for part in parts)
    return SentenceStatement(parts=parts, max_length=length, lower_case=lower_case, **asked)


def _check_dense(asked: dict[str, Any]) -> None:
    if asked["most_active"] is not None:
        why = "only a SparseEncoder keeps its largest weights alone"
        raise refusal(PROMPTS_FILE, "max_active_dims", asked["most_active"], why, "set it to null")


def _classifier(setfit: SetFit, body: SentenceStatement) -> SentenceStatement:
    """The classifier of the vectors of a sentence-transformers model."""
    if body.default_prompt:
        why = "a prompt before the texts of a classifier is not reproduced"
        raise refusal(PROMPTS_FILE, "default_prompt_name", body.default_prompt, why, "remove it, and put the prompt before your texts")
    if not body.embeds or body.is_sparse:
        why = "a SetFit model classifies the vectors of a SentenceTransformer"
        raise refusal(FILE, "the last part", body.parts[-1].part if body.parts else None, why, "give a model with a Pooling")
    parts = (*body.parts, *setfit.parts)
    check_widths(parts)
    return body.model_copy(update={"parts": parts, "labels": setfit.labels, "function": setfit.function})


def unread_files(folder: Path) -> tuple[str, ...]:
    """Names of statement files that lie in the folder, and that the library reads beside modules.json alone."""
    return () if (folder / FILE).is_file() else tuple(name for name in (*FILES, PROMPTS_FILE) if (folder / name).is_file())
