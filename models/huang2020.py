"""The linear VAE, whose rate-distortion curve is known exactly: what annealed importance sampling is held against.

Huang, Makhzani, Cao and Grosse, "Evaluating Lossy Compression Rates of Deep Generative Models", ICML 2020, appendix B.1 and
figure 3. Its generative model is probabilistic PCA with a bias.

    x HxWxC -> flatten --|-> dense d  loc
                         `-> dense d  log_scale
    z d -> dense HWC -> W z + b  HxWxC

Trained with the distortion "gaussian" of variance 1.
"""

import math

import keras
from keras import layers

from echo_tf import at_least_float32


def encoder(latent_dim=100, head_activations=("linear", "linear"), image_shape=(28, 28, 1), width=1.0):
    """x (B, H, W, C) -> [loc, log_scale], both (B, latent_dim). There is no hidden layer for `width` to scale."""
    x = keras.Input(image_shape, name="x")
    flat = layers.Flatten()(x)
    heads = [
        layers.Dense(latent_dim, activation=activation, dtype=at_least_float32(), name=name)(flat)
        for name, activation in zip(("loc", "log_scale"), head_activations)
    ]
    return keras.Model(x, heads, name="encoder")


def decoder(latent_dim=100, image_shape=(28, 28, 1), width=1.0):
    """z (B, latent_dim) -> W z + b (B, H, W, C)."""
    z = keras.Input((latent_dim,), name="z")
    f = layers.Dense(math.prod(image_shape), dtype=at_least_float32())(z)
    return keras.Model(z, layers.Reshape(image_shape, dtype=at_least_float32())(f), name="decoder")
