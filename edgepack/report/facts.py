"""Sentences about the pack for a report's first screen: whether the pack is what its label says. Computes from the manifest alone."""

from collections import Counter
from collections.abc import Iterator

from edgepack.pack.manifest import Manifest
from edgepack.plan.precision import precision_facts

_FAR_OFF = 0.1  # share by which a predicted size may miss the built file


def facts_of(manifest: Manifest) -> tuple[str, ...]:
    """Sentences: the share of products and bytes in the pack's precision, and a predicted size that was far off."""
    return (*_precision(manifest), *_served(manifest), *_vectors(manifest), *_size(manifest))


def _precision(manifest: Manifest) -> Iterator[str]:
    total, stored = sum(manifest.products.values()), sum(manifest.weight_bytes.values())
    if not total or not stored:
        return
    kind = precision_facts(manifest.precision).counted_as
    share = f"{manifest.products.get(kind, 0)} of {total} matrix products are in {manifest.precision}"
    share += f", with {manifest.weight_bytes.get(kind, 0) / stored:.1%} of the bytes of all matrices and tables"
    others = {name: count for name, count in manifest.products.items() if count and name not in (kind, "float")}
    share += "".join(f"; {count} are in {name}" for name, count in others.items())
    attempts = next((row.attempts for row in reversed(manifest.ladder) if row.attempts), ())
    in_float = Counter(product.why for product in attempts[-1].in_float) if attempts else Counter()
    share += "".join(f"; {count} {'stays' if count == 1 else 'stay'} in float as planned ({why})" for why, count in in_float.items())
    yield f"{share}."


def _served(manifest: Manifest) -> Iterator[str]:
    """Whether an app that asks with raw text gets what was scored."""
    served = manifest.served
    if served is None:
        return
    score = f"{served.score.metric.replace('_', ' ')} {served.score.value:.4f} on {served.score.rows} rows of the test split"
    if not served.differing:
        yield f"On raw texts, as an app gives them, the pack scores the same as in the test of the build: {score}."
        return
    whole = manifest.ladder[-1].score
    few = whole is not None and served.score.rows < whole.rows
    judge = "What they lose beside token ids is added to the loss on all rows." if few else "The score on raw texts judges the budget."
    way = "Words are split or decided, or texts are cut, in another way."
    if manifest.is_decoder:
        way = "A token is read at a time, with the cache."
    elif (manifest.answers or {}).get("words") == "tokenizer":
        way += " The tokenizer says where words end, as in transformers; --words white-space splits at blanks, as the rows are split."
    yield (
        f"On raw texts, as an app gives them, the pack answers {served.differing} rows differently than on token ids: {score}, "
        f"while token ids give {served.token_score.value:.4f}. {way} {judge}"
    )


def _vectors(manifest: Manifest) -> Iterator[str]:
    """What a search in the vectors' codes finds again."""
    row = next((row for row in reversed(manifest.ladder) if row.stage == "code_vectors"), None)
    if row is None:
        return
    facts = row.details
    size = f"A text's vector has a code too: {facts['index_bytes_a_text']} bytes, {facts['index_smaller']} times fewer than its numbers."
    if "recall_at_10" not in facts:
        yield f"{size} How much of a search it loses is not known: the test split has too few texts."
        return
    by_hamming = facts.get("recall_at_10_by_hamming")
    alone = "" if by_hamming is None else f" (by Hamming distance alone {by_hamming:.1%})"
    yield f"{size} A search in codes finds {facts['recall_at_10']:.1%} of the ten nearest of {facts['searched_texts']} texts{alone}."


def _size(manifest: Manifest) -> Iterator[str]:
    predicted, built = manifest.predictions.file_mb, manifest.file_mb
    if abs(predicted - built) > _FAR_OFF * built:
        yield (
            f"The prediction of the file's size was wrong: {predicted:.2f} MB were predicted, and the file has {built:.2f} MB. "
            "The predictions of memory and latency may be wrong by as much."
        )
