"""The fully connected autoencoder of the first VAE: small and quick, for a first look.

Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, section 5 and appendix C: one hidden layer of 500
tanh units (for MNIST) on either side.

    x HxWxC -> flatten -> dense 500 tanh --|-> dense d  loc
                                           `-> dense d  log_scale
    z d -> dense 500 tanh -> dense HWC -> logits HxWxC
"""

import math

import keras
from keras import layers

from echo_tf import at_least_float32

LAST = "channels_last"  # the layout of images, whatever the configuration of Keras says


def encoder(latent_dim=32, head_activations=("linear", "linear"), image_shape=(28, 28, 1), width=1.0):
    """x (B, H, W, C) -> [loc, log_scale], both (B, latent_dim).

    Args:
        latent_dim: d, the size of the code.
        head_activations: of loc and of log_scale; a channel's `head_activations`.
        image_shape: (H, W, C).
        width: factor on the number of hidden units (1: 500).
    """
    x = keras.Input(image_shape, name="x")
    h = layers.Dense(round(500 * width), activation="tanh")(layers.Flatten(data_format=LAST)(x))
    heads = [
        layers.Dense(latent_dim, activation=activation, dtype=at_least_float32(), name=name)(h)
        for name, activation in zip(("loc", "log_scale"), head_activations)
    ]
    return keras.Model(x, heads, name="encoder")


def decoder(latent_dim=32, image_shape=(28, 28, 1), width=1.0):
    """z (B, latent_dim) -> logits (B, H, W, C). Args: as `encoder`."""
    z = keras.Input((latent_dim,), name="z")
    h = layers.Dense(round(500 * width), activation="tanh")(z)
    logits = layers.Dense(math.prod(image_shape), dtype=at_least_float32())(h)
    return keras.Model(z, layers.Reshape(image_shape, dtype=at_least_float32())(logits), name="decoder")
