"""Linear layers by oneDNN give what torch's give, and are torch's again afterwards."""

import pytest
import torch
from torch import nn

from edgepack.core import host
from edgepack.model import linear_kernels
from edgepack.model.linear_kernels import fast_linears

AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu {}\n"


class Doubled(nn.Linear):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(rows)


@pytest.fixture
def on_amd(monkeypatch):
    monkeypatch.setattr(linear_kernels, "is_amd_with_avx512", lambda: True)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize(
    "rows", [torch.randn(5, 32), torch.randn(2, 3, 32), torch.randn(32, 7).T, torch.randn(3, 5, 64)[..., ::2], torch.randn(0, 32)]
)
def test_the_sums_are_those_of_torch(on_amd, rows, has_bias):
    layer = nn.Linear(32, 48, bias=has_bias)
    with torch.no_grad():
        expected = layer(rows)
        with fast_linears(layer):
            assert "forward" in layer.__dict__
            assert torch.allclose(layer(rows), expected, atol=1e-5)


def test_a_layer_is_torchs_again_afterwards(on_amd):
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, layer)
    with pytest.raises(ZeroDivisionError), fast_linears(model, layer):
        raise ZeroDivisionError
    assert "forward" not in layer.__dict__
    layer(torch.randn(2, 4)).sum().backward()
    assert layer.weight.grad is not None


def test_weights_that_change_within_are_the_ones_that_count(on_amd):
    layer = nn.Linear(4, 4, bias=False)
    with torch.no_grad(), fast_linears(layer):
        layer(torch.ones(1, 4))
        layer.weight.fill_(1.0)
        assert torch.allclose(layer(torch.ones(1, 4)), torch.full((1, 4), 4.0))


@pytest.mark.parametrize("layer", [Doubled(4, 4), nn.Linear(4, 4).bfloat16(), nn.Linear(4, 4).double()])
def test_other_layers_stay_as_they_are(on_amd, layer):
    with fast_linears(layer):
        assert "forward" not in layer.__dict__


@pytest.mark.parametrize(
    ("stated", "is_amd"),
    [
        (AMD.format("avx2 avx512f"), True),
        (AMD.format("avx2"), False),
        (AMD.format("avx2 avx512f").replace("AuthenticAMD", "GenuineIntel"), False),
        ("Features\t: asimd\n", False),
    ],
)
def test_the_cpu_is_asked_by_linux(monkeypatch, tmp_path, stated, is_amd):
    (tmp_path / "cpuinfo").write_text(stated)
    monkeypatch.setattr(host, "Path", lambda name: tmp_path / "cpuinfo")
    for ask in (host.kernel_instructions, host.is_amd_with_avx512):
        ask.cache_clear()
    try:
        assert host.is_amd_with_avx512() is is_amd
    finally:
        for ask in (host.kernel_instructions, host.is_amd_with_avx512):
            ask.cache_clear()
