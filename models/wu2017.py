"""The fully connected decoder whose rate-distortion curves the AIS paper draws, and an encoder for it.

Wu, Burda, Salakhutdinov and Grosse, "On the Quantitative Analysis of Decoder-Based Generative Models", ICLR 2017: their
"VAE-50" for code sizes of one's own, as "Evaluating Lossy Compression Rates of Deep Generative Models" (appendix C.1) takes it.

    x HxWxC -> flatten -> 3 x dense 1024 tanh --|-> dense d  loc
                                                `-> dense d  log_scale
    z d -> 3 x dense 1024 tanh -> dense HWC sigmoid -> f(z) HxWxC

As a GAN ("GAN-50", AIS paper, figure 4a) the decoder is the generator; shallow ones have depth 1. Neither paper says what
stands on the other side. Here that is, for images and, in an adversarial autoencoder, for codes,

    x HxWxC -> flatten -> 3 x dense 1024 leaky ReLU -> dense 1  logit

The decoder of the AIS paper's adversarial autoencoders has ReLU in place of tanh: `activation`.

The mean f(z) of p(x|z) = N(f(z), s^2 I) itself comes out, so that a distortion "gaussian" or "squared_error" fits, with images
in [0, 1]. Weights and biases start as in the released code, uniform within 1 / sqrt(fan in).
"""

import math

import keras
from keras import layers

from echo_tf import at_least_float32

LAST = "channels_last"  # the layout of images, whatever the configuration of Keras says


def encoder(
    latent_dim=10, head_activations=("linear", "linear"), image_shape=(28, 28, 1), width=1.0, depth=3, activation="tanh"
):
    """x (B, H, W, C) -> [loc, log_scale], both (B, latent_dim).

    Args:
        latent_dim: d, the size of the code; the paper's are 2, 10 and 100.
        head_activations: of loc and of log_scale; a channel's `head_activations`.
        image_shape: (H, W, C).
        width: factor on the number of hidden units (1: 1024).
        depth: hidden layers. activation: of these.
    """
    x = keras.Input(image_shape, name="x")
    h = _hidden(layers.Flatten(data_format=LAST)(x), width, depth, activation)
    heads = [
        dense(h, latent_dim, activation, dtype=at_least_float32(), name=name)
        for name, activation in zip(("loc", "log_scale"), head_activations)
    ]
    return keras.Model(x, heads, name="encoder")


def decoder(latent_dim=10, image_shape=(28, 28, 1), width=1.0, depth=3, activation="tanh"):
    """z (B, latent_dim) -> f(z) (B, H, W, C) in [0, 1]. Args: as `encoder`."""
    z = keras.Input((latent_dim,), name="z")
    f = dense(_hidden(z, width, depth, activation), math.prod(image_shape), "sigmoid", dtype=at_least_float32())
    return keras.Model(z, layers.Reshape(image_shape, dtype=at_least_float32())(f), name="decoder")


def discriminator(image_shape=(28, 28, 1), width=1.0, discriminator_depth=3):
    """x (B, ...) -> logit (B, 1); for codes, image_shape is (d,). The last hidden layer is named "features" before its
    activation. Args: as `encoder`."""
    x = keras.Input(image_shape, name="x")
    h = layers.Flatten(data_format=LAST)(x)
    for i in range(discriminator_depth):
        last = {"name": "features"} if i + 1 == discriminator_depth else {}
        h = layers.LeakyReLU(0.2)(dense(h, round(1024 * width), "linear", **last))
    return keras.Model(x, dense(h, 1, "linear", dtype=at_least_float32(), name="logit"), name="discriminator")


def _hidden(h, width, depth, activation):
    for _ in range(depth):
        h = dense(h, round(1024 * width), activation)
    return h


def dense(h, units, activation, **more):
    """A dense layer that starts as PyTorch's does."""
    limit = 1 / math.sqrt(h.shape[-1])
    start = {
        "kernel_initializer": keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform"),
        "bias_initializer": keras.initializers.RandomUniform(-limit, limit),
    }
    return layers.Dense(units, activation=activation, **start, **more)(h)
