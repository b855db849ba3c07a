"""What an error in each of a decoder's matrices costs its predictions, by gradients in torch. It does not change the model's weights.

With e an error of a row's weights and x what the row reads, predictions lose about F (e x)^2 / 2 nats a token: F is the mean square of
the gradient at the matrix's outputs, for next tokens drawn from the predictions themselves (the Fisher information: Kunstner 2019,
arXiv 1905.12558, has why they are drawn and not read from the text). One pass backwards tells it of all matrices.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers.pytorch_utils import Conv1D

from edgepack.core.progress import bar
from edgepack.model.evaluation import use_all_cores
from edgepack.model.layer_calls import hooked
from edgepack.model.structure import matrix_of
from edgepack.quantize.coarse_weights import RowWeights
from edgepack.tasks.common.task import Features


@dataclass
class _Sums:
    """Of squares over all tokens: of gradients, a mean over each module's outputs; and of what the head reads, a mean over its width."""

    gradients: dict[nn.Module, float] = field(default_factory=dict)
    power: float = 0.0

    def add(self, module: nn.Module, gradient: torch.Tensor) -> None:
        self.gradients[module] = self.gradients.get(module, 0.0) + float(gradient.square().sum()) / gradient.shape[-1]


def row_weights(model: nn.Module, texts: Sequence[Features], seed: int) -> RowWeights:
    """Of every product, and of the tables of embeddings and the head: the rows of each weigh the same.

    Rows by themselves, half of the weight by their own gradients, were tried on SmolLM2-135M at 4.45 bits, with another weight of the
    table too: nothing was gained. All integers of a matrix have one code there.
    """
    use_all_cores()
    model.eval().requires_grad_(False)
    head, embeddings, sums = model.get_output_embeddings(), model.get_input_embeddings(), _Sums()
    draw, tokens = torch.Generator().manual_seed(seed), sum(len(text.ids) for text in texts)
    with hooked(_hooks(model, sums)), bar("weigh the matrices", len(texts)) as progress, torch.enable_grad():
        for text in texts:
            logits = model(input_ids=torch.tensor([text.ids]), use_cache=False).logits[0].float()
            drawn = torch.multinomial(logits.detach().softmax(dim=-1), 1, generator=draw)[:, 0]
            nn.functional.cross_entropy(logits, drawn, reduction="sum").backward()
            progress.advance()
    weights = {module: total / tokens for module, total in sums.gradients.items()}
    weights[embeddings] /= len(embeddings.weight)  # a token reads one row
    if torch.equal(head.weight, embeddings.weight):  # what a row is read for counts together, in units of the head
        weights[head] = weights[embeddings] = weights[head] + weights[embeddings] / (sums.power / tokens)
    result = RowWeights()
    for module, weight in weights.items():
        result.put((module.weight if module is embeddings else matrix_of(module)).numpy(), weight)
    return result


def _hooks(model: nn.Module, sums: _Sums) -> Iterator[RemovableHandle]:
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()

    def watch(product: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        output.register_hook(lambda gradient: sums.add(product, gradient))

    def start(table: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        leaf = output.detach().requires_grad_()
        scale = float(leaf.detach().norm() / table.weight[inputs[0]].norm())  # some tables multiply what they read
        leaf.register_hook(lambda gradient: sums.add(table, gradient * scale))
        return leaf

    def add_power(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        sums.power += float(inputs[0].detach().square().mean(dim=-1).sum())

    yield embeddings.register_forward_hook(start)
    yield head.register_forward_hook(add_power)
    for module in model.modules():
        if isinstance(module, nn.Linear | Conv1D):
            yield module.register_forward_hook(watch)
