"""The dense networks of the isometric VAE paper, of its toy sources and of MNIST; `nakagawa2021_faces` has the others.

"Quantitative Understanding of VAE as a Non-linearly Scaled Isometric Embedding", appendices D.1 and G.

    x (B, ...) -> flatten -> dense hidden[0] -> dense hidden[1] --|-> dense d  loc
                                                                  `-> dense d  log variance / 2
    z d -> dense hidden[1] -> dense hidden[0] -> dense -> output of the shape of x

    `form`   hidden       activation   of
    "toy"    128, 64      tanh         vectors of 16 numbers (21,462 parameters at d = 3)
    "mnist"  1024, 1024   relu         images of 28 x 28 (3,806,032 at d = 32)

The output is linear: the mean of the toy data, and logits for MNIST, where the paper's decoder ends in a sigmoid: the same
function under the Bernoulli distortion.
"""

import math

import keras
from keras import layers

from echo_tf import at_least_float32

LAST = "channels_last"  # the layout of images, whatever the configuration of Keras says

FORMS = {"toy": ((128, 64), "tanh"), "mnist": ((1024, 1024), "relu")}


def encoder(latent_dim=32, head_activations=("linear", "linear"), image_shape=(28, 28, 1), width=1.0, form="mnist"):
    """x (B, ...) -> [loc, log_scale], both (B, latent_dim).

    Args:
        latent_dim: d, the size of the code; the paper's are 3, and 32 and 64.
        head_activations: of loc and of log_scale; a channel's `head_activations`.
        image_shape: the shape of x.
        width: factor on the numbers of hidden units.
        form: "toy" or "mnist".

    Raises:
        ValueError: for another form.
    """
    hidden, activation = _form(form)
    x = keras.Input(image_shape, name="x")
    h = layers.Flatten(data_format=LAST)(x) if len(image_shape) > 1 else x
    for units in hidden:
        h = layers.Dense(round(units * width), activation=activation)(h)
    heads = [
        layers.Dense(latent_dim, activation=head, dtype=at_least_float32(), name=name)(h)
        for name, head in zip(("loc", "log_scale"), head_activations)
    ]
    return keras.Model(x, heads, name="encoder")


def decoder(latent_dim=32, image_shape=(28, 28, 1), width=1.0, form="mnist"):
    """z (B, latent_dim) -> output (B, *image_shape). Args: as `encoder`."""
    hidden, activation = _form(form)
    z = keras.Input((latent_dim,), name="z")
    h = z
    for units in reversed(hidden):
        h = layers.Dense(round(units * width), activation=activation)(h)
    output = layers.Dense(math.prod(image_shape), dtype=at_least_float32())(h)
    if len(image_shape) > 1:
        output = layers.Reshape(image_shape, dtype=at_least_float32())(output)
    return keras.Model(z, output, name="decoder")


def _form(form):
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}.")
    return FORMS[form]
