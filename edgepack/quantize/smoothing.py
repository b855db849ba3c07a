"""How far each channel of an activation moves into the weights that read it (Xiao 2023), whatever the format. Pure numpy."""

import numpy as np

LEAST = 1e-5  # of a channel's largest value: a channel that is always 0 must not be divided by it
_LEAST_SCALE = 1e-2


def channel_scales(of_activations: np.ndarray, of_weights: np.ndarray, strength: float) -> np.ndarray:
    """[channels] from the largest |values| of both: activations are divided by it, weights times it.

    strength 0 leaves the weights' rows even, 1 the activations. The mean of its logarithm is 0.
    """
    scale = np.maximum(of_activations, LEAST) ** strength / np.maximum(of_weights, LEAST) ** (1 - strength)
    return np.maximum(scale / np.exp(np.log(scale).mean()), _LEAST_SCALE).astype(np.float32)
