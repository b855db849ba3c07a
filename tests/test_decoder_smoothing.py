"""A decoder whose activations were evened out is the same decoder, and loses less where they are rounded."""

import pytest
import torch
from small import DECODERS, make_model

from edgepack.export.decoder_smoothing import smooth_decoder
from edgepack.model.surgery import cut_heads, family_of_model, inputs_of, layers_of, matrix_of

TEXTS = [list(range(3, 40)), list(range(20, 50))]


def logits(model):
    with torch.no_grad():
        return torch.cat([model(input_ids=torch.tensor([text])).logits[0] for text in TEXTS])


def rounded(model):
    """Logits with what every product of a layer reads in 8 bits, a scale and a zero point for each token, as LiteRT rounds."""

    def look(_, inputs):
        low, high = (value.unsqueeze(-1) for value in (inputs[0].amin(-1).clamp(max=0), inputs[0].amax(-1).clamp(min=0)))
        step = ((high - low) / 255).clamp(min=1e-9)
        return (((inputs[0] / step).round() * step),)

    layers = [one for layer in layers_of(model) for one in layer.modules() if isinstance(one, torch.nn.Linear)]
    handles = [one.register_forward_pre_hook(look) for one in layers]
    found = logits(model)
    for handle in handles:
        handle.remove()
    return found


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
    true = logits(model)
    before = (rounded(model) - true).square().mean()
    smooth_decoder(model, TEXTS, 0.5)
    after = (rounded(model) - true).square().mean()
    assert after < before / 4, (before, after)
