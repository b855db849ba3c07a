"""Linear layers and embeddings become two smaller products, their ranks shared out by how much the model's outputs depend on each.

svd: of the matrix times the root of its inputs' covariance, which gives the least error of its outputs at a rank, in closed form (DRONE,
Chen 2021; SVD-LLM, Wang 2024). tensor: a network of two cores, by the svd of the rearranged matrix (Van Loan 1993; CompactifAI 2024).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from edgepack.compress.context import StageContext
from edgepack.compress.refit import second_moments
from edgepack.compress.sparsity import linears
from edgepack.model.evaluation import run_model
from edgepack.model.factored import FactoredEmbedding, empty, shared_part
from edgepack.model.structure import family_of_model, matrix_of
from edgepack.pack.factored_matrix import FactoredMatrix
from edgepack.plan.factors import RANK_STEP, Factor, break_even_rank, rank_step
from edgepack.plan.steps import Factorize
from edgepack.tasks.common.task import Features

_TEXTS, _TOKENS = 1024, 32_768  # that covariances are taken from: several times as many tokens as a wide matrix has inputs
_JUDGED_TEXTS = 64  # whose outputs tell how much a matrix matters,
_JUDGED_PASSAGES, _JUDGED_TOKENS = 8, 32  # or a decoder's, which has one for each token: every matrix costs a run over them
_RIDGES = 8  # each ten times as high as the one before
_RIDGE = 1e-4  # of an input's mean square: directions that the texts say nothing about
_SEARCH_STEPS = 60


@dataclass(frozen=True)
class _Candidate:
    """A matrix, ready to be cut at any rank. strengths [rank]: the error of its outputs, squared, that each direction stands for.

    make: the module at a rank. step: what its rank is a multiple of.
    """

    path: str
    rows: int
    columns: int
    strengths: torch.Tensor
    make: Callable[[int], nn.Module]
    step: int = RANK_STEP

    @property
    def trial(self) -> int:
        return max(1, break_even_rank(self.rows, self.columns) // 2)


def factorize(model: nn.Module, step: Factorize, context: StageContext) -> nn.Module:
    """Cuts the model's matrices to ranks that leave 1 - `step.fraction` of their weights, the same error of outputs at each margin.

    A matrix whose rank would not undercut m n / (m + n) stays whole.
    """
    candidates = list(_candidates(model, step, context))
    before = _outputs(model, context)
    importance = [_importance(model, candidate, context, before) for candidate in candidates]
    ranks = ranks_for(candidates, importance, step.fraction)
    layers = family_of_model(model).layers
    for candidate, rank, (error, _) in zip(candidates, ranks, importance, strict=True):
        if rank is not None:
            model.set_submodule(candidate.path, candidate.make(rank))
        context.notes.setdefault("factors", []).append(_described(candidate, rank, error, layers).as_json())
    return model.eval()


def _described(candidate: _Candidate, rank: int | None, error: float, layers: str) -> FactoredMatrix:
    _, _, inside = candidate.path.partition(f"{layers}.")
    number, _, part = inside.partition(".")
    return FactoredMatrix(
        layer=int(number) if number.isdigit() else None,
        part=part if number.isdigit() else candidate.path.rpartition(".")[2],
        rows=candidate.rows,
        columns=candidate.columns,
        rank=rank,
        break_even_rank=break_even_rank(candidate.rows, candidate.columns),
        error=round(error, 6),
    )


def _candidates(model: nn.Module, step: Factorize, context: StageContext) -> Iterator[_Candidate]:
    features = context.features[:_TEXTS]
    ends = np.cumsum([len(item.ids) for item in features])
    names = {id(module): name for name, module in model.named_modules()}
    modules = [module for module in linears(model) if min(matrix_of(module).shape) >= RANK_STEP]
    moments = second_moments(model, modules, features[: max(1, int((ends <= _TOKENS).sum()))])
    for module in modules:
        rows, columns = matrix_of(module).shape
        candidate = _of_linear(names[id(module)], module, moments.pop(0), step.by)  # each is freed: all are as large as the model
        yield replace(candidate, step=rank_step(rows, columns, context.task.decodes))
    if not family_of_model(model).causal:  # a decoder's head reads the same table
        table = model.get_input_embeddings()
        yield _of_table(names[id(table)], table, context.features, step.by)


def _of_linear(path: str, module: nn.Module, moment: torch.Tensor, kind: str) -> _Candidate:
    matrix, moment = matrix_of(module).detach().double(), moment.double()
    mean = moment[:-1, -1] / moment[-1, -1]
    shift = mean if module.bias is not None else torch.zeros_like(mean)  # a bias takes over what is lost of the mean
    covariance = moment[:-1, :-1] / moment[-1, -1] - torch.outer(shift, shift)
    covariance += torch.eye(len(mean), dtype=torch.double) * (_RIDGE * float(covariance.diagonal().mean()) + 1e-12)
    strengths, parts = _by_svd(matrix, covariance) if kind == "svd" else _by_cores(matrix, covariance)
    size = matrix.shape

    def make(rank: int) -> nn.Module:
        factored = empty(Factor(path=path, kind=kind, rows=size[0], columns=size[1], rank=rank), module)
        first, second = parts(rank)
        with torch.no_grad():
            factored.first.weight.copy_(first)
            factored.second.weight.copy_(second)
            if module.bias is not None:
                factored.bias.zero_()
                lost = matrix_of(module).detach().double() @ shift - factored.double()(shift).squeeze()
                factored.float().bias.copy_(module.bias.detach() + lost)
        return factored.eval()

    return _Candidate(path, *size, strengths, make)


_Parts = Callable[[int], tuple[torch.Tensor, torch.Tensor]]  # of a rank, in fp32: those of all ranks take twice the matrix's memory


def _by_svd(matrix: torch.Tensor, covariance: torch.Tensor) -> tuple[torch.Tensor, _Parts]:
    """What is in between has the covariance 1, so that int8 rounds all of its numbers alike."""
    root = _root(covariance)
    left, sizes, right = torch.linalg.svd(matrix @ root, full_matrices=False)
    first, second = torch.linalg.solve_triangular(root.T, right.T, upper=True).T.float(), (left * sizes).float()
    return sizes**2, lambda rank: (first[:rank], second[:, :rank])


def _root(covariance: torch.Tensor) -> torch.Tensor:
    """The Cholesky factor. Sums in fp32 whose mean outweighs what varies round to no covariance: such a one gets more on its diagonal."""
    ridge = _RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.double)
    root, failed = torch.linalg.cholesky_ex(covariance)
    for _ in range(_RIDGES):
        if not failed:
            return root
        ridge = 10 * ridge
        root, failed = torch.linalg.cholesky_ex(covariance + ridge)
    return torch.linalg.cholesky(covariance + ridge)  # with the error of a matrix that holds what is no number


def _by_cores(matrix: torch.Tensor, covariance: torch.Tensor) -> tuple[torch.Tensor, _Parts]:
    """Inputs are weighed by their size, as far as that is a product of one factor for each core."""
    (rows, columns), part = matrix.shape, shared_part(*matrix.shape)
    squares = covariance.diagonal()
    squares = squares.clamp(min=max(1e-12, _RIDGE * float(squares.mean())))  # see `_root`: of one that hardly varies it may be below 0
    sizes = squares.sqrt().log().reshape(part, columns // part)
    of_first = sizes.mean(dim=1).exp()  # [j1]
    of_second = (sizes.mean(dim=0) - sizes.mean()).exp()  # [j2]
    whole = matrix.reshape(rows // part, part, part, columns // part)  # i1, i2, j1, j2
    weighed = (whole * of_first[None, None, :, None] * of_second).permute(0, 2, 1, 3).reshape(rows, columns)  # (i1, j1), (i2, j2)
    left, strength, right = torch.linalg.svd(weighed, full_matrices=False)

    inner = (right.reshape(-1, part, columns // part) / of_second).float()  # k, i2, j2
    outer = ((left * strength).reshape(rows // part, part, -1) / of_first[None, :, None]).float()  # i1, j1, k

    def parts(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
        return inner[:rank].reshape(rank * part, columns // part), outer[:, :, :rank].reshape(rows // part, part * rank)

    return strength**2, parts


def _of_table(path: str, table: nn.Module, features: Sequence[Features], kind: str) -> _Candidate:
    """Rows weigh as often as the texts hold them, and each at least once. Both kinds are the same here: a row is looked up whole."""
    matrix = table.weight.detach().double()
    counts = np.bincount([index for item in features for index in item.ids], minlength=len(matrix))[: len(matrix)] + 1.0
    gram = (matrix * torch.from_numpy(counts / counts.mean())[:, None]).T @ matrix
    strengths, axes = torch.linalg.eigh(gram / len(matrix))
    strengths, axes = strengths.flip(0).clamp(min=0), axes.flip(1)

    def make(rank: int) -> nn.Module:
        factor = Factor(path=path, kind=kind, rows=matrix.shape[0], columns=matrix.shape[1], rank=rank, table=True)
        factored = FactoredEmbedding(factor, getattr(table, "padding_idx", None))
        with torch.no_grad():
            factored.table.weight.copy_(matrix @ axes[:, :rank])
            factored.up.weight.copy_(axes[:, :rank])
        return factored.eval()

    return _Candidate(path, *matrix.shape, strengths, make)


def _importance(model: nn.Module, candidate: _Candidate, context: StageContext, before: np.ndarray) -> tuple[float, float]:
    """Measured: the share of the outputs' variance that half of the break-even rank changes; and that share for each unit of error."""
    whole = model.get_submodule(candidate.path)
    model.set_submodule(candidate.path, candidate.make(candidate.trial))
    after = _outputs(model, context)
    model.set_submodule(candidate.path, whole)
    error = float(((after - before) ** 2).mean() / max(float(before.var()), 1e-12))
    return error, error / max(float(candidate.strengths[candidate.trial :].sum()), 1e-12)


def _outputs(model: nn.Module, context: StageContext) -> np.ndarray:
    texts = list(context.features[: _JUDGED_PASSAGES if context.task.decodes else _JUDGED_TEXTS])
    if context.task.decodes:
        texts = [replace(text, ids=text.ids[:_JUDGED_TOKENS], type_ids=text.type_ids[:_JUDGED_TOKENS]) for text in texts]
    outputs = run_model(model, context.task, texts, "measure the matrices")
    return np.concatenate([np.asarray(context.task.comparable(output), np.float64).ravel() for output in outputs])


def ranks_for(candidates: Sequence[_Candidate], importance: Sequence[tuple[float, float]], fraction: float) -> list[int | None]:
    """A rank for each matrix, None where it stays whole. Directions go in the order of what they give for a weight that they take."""
    total = sum(each.rows * each.columns for each in candidates)
    low, high = -60.0, 60.0
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        weights = sum(_weights(each, rank) for each, rank in zip(candidates, _ranks_at(candidates, importance, middle), strict=True))
        low, high = (middle, high) if weights > (1 - fraction) * total else (low, middle)
    return _ranks_at(candidates, importance, high)


def _weights(candidate: _Candidate, rank: int | None) -> int:
    return candidate.rows * candidate.columns if rank is None else rank * (candidate.rows + candidate.columns)


def _ranks_at(candidates: Sequence[_Candidate], importance: Sequence[tuple[float, float]], exponent: float) -> list[int | None]:
    ranks: list[int | None] = []
    for each, (_, by_error) in zip(candidates, importance, strict=True):
        worth = by_error * each.strengths / (each.rows + each.columns)
        count = int((worth > 2.0**exponent).sum())
        rank = max(1, round(count / each.step)) * each.step
        ranks.append(None if rank >= break_even_rank(each.rows, each.columns) else rank)
    return ranks
