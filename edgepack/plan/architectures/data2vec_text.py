"""data2vec for text: RoBERTa, trained in another way."""

from dataclasses import replace

from edgepack.plan.architectures.roberta import FAMILY as ROBERTA

FAMILY = replace(ROBERTA, model_type="data2vec-text")
