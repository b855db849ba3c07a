"""The default ranking of a decoder's heads, which share keys and values, loses less than a die does."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgepack.compress.context import StageContext
from edgepack.compress.importance import head_importance
from edgepack.compress.pruning import choose_heads
from edgepack.compress.refit import refit
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.quality import score_outputs
from edgepack.model.source import find_model
from edgepack.model.structure import kv_groups_of
from edgepack.model.surgery import cut_heads
from edgepack.tasks import task_named
from edgepack.tasks.common.rows import Row

TASK = task_named("text-generation")
MEASURED, JUDGED = 12, 20  # texts


@pytest.mark.slow
def test_what_refit_cannot_repair_ranks_grouped_heads_better_than_a_die(shared):
    source = find_model(str(shared / "models" / "stories260k"))
    model = load_checkpoint(source, TASK.name)
    torch.manual_seed(0)
    drawn = model.generate(torch.full((MEASURED + JUDGED, 1), 1), do_sample=True, max_new_tokens=150, min_new_tokens=150, pad_token_id=0)
    rows = [Row("", text=text) for text in source.tokenizer.batch_decode(drawn, skip_special_tokens=True)]
    features, others = (TASK.encode(source.tokenizer, part, 256) for part in (rows[:MEASURED], rows[MEASURED:]))
    context = StageContext(TASK, rows[:MEASURED], features, [], {}, Path(), 0)

    def perplexity(measure, seed, refits):
        scores = head_importance(model, replace(context, seed=seed), measure)
        keep, cut = choose_heads(scores, 0.25, "model", kv_groups_of(model)), copy.deepcopy(model)
        if refits:
            refit(cut, "heads", keep, features)
        cut_heads(cut, keep)
        return score_outputs(TASK, run_model(cut, TASK, others, ""), others, rows[MEASURED:], {}, []).value

    assert kv_groups_of(model) == 2 and TASK.default_importance == "remainder"
    for refits in (False, True):
        ours = perplexity("remainder", 0, refits)
        dice = [perplexity("random", seed, refits) for seed in range(3)]
        print(f"refit {refits}: remainder {ours:.3f}, random {dice}, gradient {perplexity('gradient', 0, refits):.3f}")
        assert ours < sum(dice) / 3
