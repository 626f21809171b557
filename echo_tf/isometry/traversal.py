"""What each latent dimension shows: decodings of codes that move along it."""

import numpy as np
from keras import ops

from echo_tf import arguments
from echo_tf.precision import in_float32


def traversals(model, images, latents, widest=2.0, steps=9) -> np.ndarray:
    """Reconstructions while one dimension is swept and the others stay at their mean, (len(latents), steps, ...) in 8 bits.

    Args:
        model: a `RateDistortionAutoencoder` whose codes are vectors.
        images: (n, ...), whose codes say what is usual where there is no prior.
        latents: indices of dimensions, or one.
        widest: how far to go to either side, in standard deviations of the prior, which is 0 and 1, or of Echo's own codes.
        steps: how many images.

    Returns:
        uint8; values outside of [0, 1] are cut off.

    Raises:
        ValueError: for a dimension that the code does not have, fewer than one step.

    Reference: isometric VAE paper, figures 6 and 23.
    """
    arguments.number("widest", widest)
    steps, model = arguments.integer("steps", steps), in_float32(model)
    if model.marginal is None:
        codes = model.sample(images)
        center, unit = codes.mean(axis=0), codes.std(axis=0)
    else:
        size = model.encode(images[:2])[0].shape[1]
        center, unit = np.zeros(size), np.ones(size)
    shown = []
    for j in np.atleast_1d(latents):
        arguments.integer("each of latents", j, 0, len(center) - 1)
        z = np.tile(center, (steps, 1))
        z[:, j] += np.linspace(-widest, widest, steps) * unit[j]
        output = model.decoder(ops.convert_to_tensor(z.astype(np.float32)), training=False)
        shown.append(ops.convert_to_numpy(model.measure_of_distortion.reconstruct(output)))
    return np.round(255 * np.clip(np.array(shown), 0, 1)).astype(np.uint8)
