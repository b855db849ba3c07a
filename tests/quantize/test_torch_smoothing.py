"""A model whose activations were smoothed is the same model, and loses less where they are rounded."""

import pytest
import torch
from small import DECODERS, ENCODERS, make_model

from edgepack.model.structure import family_of_model, inputs_of, layers_of, matrix_of
from edgepack.model.surgery import cut_heads
from edgepack.quantize.torch_smoothing import smooth_decoder, smooth_encoder

TEXTS = [list(range(3, 40)), list(range(20, 50))]


def logits(model):
    with torch.no_grad():
        return torch.cat([model(input_ids=torch.tensor([text])).logits.flatten(0, -2) for text in TEXTS])


def rounded(model):
    """Logits with what every product of a layer reads in 8 bits, a scale and a zero point for each token, as LiteRT rounds."""

    def look(module, inputs):
        divisor = 1 / getattr(module, "inverse", torch.ones(1))
        read = inputs[0] / divisor
        low, high = (value.unsqueeze(-1) for value in (read.amin(-1).clamp(max=0), read.amax(-1).clamp(min=0)))
        step = ((high - low) / 255).clamp(min=1e-9)
        return ((read / step).round() * step * divisor,)

    layers = [each for layer in layers_of(model) for each in layer.modules() if isinstance(each, torch.nn.Linear)]
    handles = [each.register_forward_pre_hook(look) for each in layers]
    result = logits(model)
    for handle in handles:
        handle.remove()
    return result


@pytest.mark.parametrize("family", DECODERS)
def test_it_stays_the_same_model(tmp_path, family):
    model = make_model(tmp_path, family, "text-generation").eval()
    cut_heads(model, [[] if at == 1 else range(4) for at in range(len(layers_of(model)))])
    before = logits(model)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    assert smooth_decoder(model, TEXTS, 0.5) >= 2 * len(layers_of(model)) - 1
    assert (logits(model) - before).abs().max() < 1e-4
    assert any((value != weights[name]).any() for name, value in model.state_dict().items())
    assert smooth_decoder(model, [], 0.5) == 0


def test_a_channel_that_outweighs_the_others_costs_them_less(tmp_path):
    model = make_model(tmp_path, "llama", "text-generation").eval()
    family = family_of_model(model)
    with torch.no_grad():
        for layer in layers_of(model):
            up, down = layer.get_submodule(family.ffn_in[1]), layer.get_submodule(family.ffn_out)
            assert inputs_of(down) > 3
            matrix_of(up)[3] *= 300
            matrix_of(down)[:, 3] /= 300
    expected = logits(model)
    before = (rounded(model) - expected).square().mean()
    smooth_decoder(model, TEXTS, 0.5)
    after = (rounded(model) - expected).square().mean()
    assert after < before / 4, (before, after)


@pytest.mark.parametrize("family", ENCODERS)
def test_an_encoder_stays_the_same_model_and_products_that_read_alike_share_a_scale(tmp_path, family):
    model = make_model(tmp_path, family, "text-classification").eval()
    layers = len(layers_of(model))
    cut_heads(model, [range(4) if layers == 1 or at else [0, 2] for at in range(layers)])
    before = logits(model)
    count = smooth_encoder(model, TEXTS, 0.5)
    evened = [module for module in model.modules() if hasattr(module, "inverse")]
    assert layers <= count <= len(evened) and len({module.inverse.data_ptr() for module in evened}) == count
    assert (logits(model) - before).abs().max() < 1e-4
    assert smooth_encoder(make_model(tmp_path / "other", family, "text-classification"), [], 0.5) == 0


def test_a_norms_channel_that_outweighs_the_others_costs_them_less(tmp_path):
    model = make_model(tmp_path, "bert", "text-classification").eval()
    with torch.no_grad():
        for layer in layers_of(model):
            layer.attention.output.LayerNorm.weight[3] *= 300
            layer.intermediate.dense.weight[:, 3] /= 300
    expected = logits(model)
    before = (rounded(model) - expected).square().mean()
    smooth_encoder(model, TEXTS, 0.5)
    after = (rounded(model) - expected).square().mean()
    assert after < before / 2, (before, after)
