"""CamemBERT: RoBERTa for French."""

from dataclasses import replace

from edgepack.plan.architectures.roberta import FAMILY as ROBERTA

FAMILY = replace(ROBERTA, model_type="camembert")
