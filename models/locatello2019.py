"""The convolutional autoencoder of disentanglement studies on 64 x 64 images.

Locatello, Bauer, Lucic, Raetsch, Gelly, Schoelkopf and Bachem, "Challenging Common Assumptions in the Unsupervised Learning of
Disentangled Representations", ICML 2019, table 1 of the appendix, as used by Brekelmans et al., "Exact Rate-Distortion in
Autoencoders via Echo Noise", NeurIPS 2019, appendix E. f, s, z are the Echo paper's letters.

    x 64x64x1 -> conv 4x4 32 /2 -> conv 4x4 32 /2 -> conv 2x2 64 /2 -> conv 2x2 64 /2 -> 4x4x64 -> dense 256
                                                                                                    |-> dense d  f (loc)
                                                                                                    `-> dense d  log s
    z d -> dense 256 -> dense 1024 -> 4x4x64 -> convT 4x4 64 /2 -> convT 4x4 32 /2 -> convT 4x4 32 /2
        -> convT 4x4 1 /2 -> logits 64x64x1

ReLU throughout; 690,517 parameters at d = 10.
"""

import keras
from keras import layers

from echo_tf import Bias, ConvTransposeToImage, at_least_float32

LAST = "channels_last"  # the layout of images, whatever the configuration of Keras says
SAME = {"padding": "same", "data_format": LAST, "use_bias": False}

MULTIPLE = 16  # of which height and width must be


def encoder(latent_dim=10, head_activations=("linear", "linear"), image_shape=(64, 64, 1), width=1.0):
    """x (B, H, W, C) -> [loc, log_scale], both (B, latent_dim).

    Args:
        latent_dim: d, the size of the code.
        head_activations: of loc and of log_scale; a channel's `head_activations`.
        image_shape: (H, W, C), H and W divisible by 16.
        width: factor on the number of filters and units (1 in the paper).
    """
    _checked(image_shape)
    x = keras.Input(image_shape, name="x")
    h = x
    for filters, kernel in ((32, 4), (32, 4), (64, 2), (64, 2)):
        h = Bias("relu")(layers.Conv2D(_scaled(filters, width), kernel, 2, **SAME)(h))
    h = layers.Dense(_scaled(256, width), activation="relu")(layers.Flatten(data_format=LAST)(h))
    heads = [
        layers.Dense(latent_dim, activation=activation, dtype=at_least_float32(), name=name)(h)
        for name, activation in zip(("loc", "log_scale"), head_activations)
    ]
    return keras.Model(x, heads, name="encoder")


def decoder(latent_dim=10, image_shape=(64, 64, 1), width=1.0):
    """z (B, latent_dim) -> logits (B, H, W, C). Args: as `encoder`."""
    height, width_pixels, channels = _checked(image_shape)
    z = keras.Input((latent_dim,), name="z")
    smallest = (height // 16, width_pixels // 16, _scaled(64, width))
    h = layers.Dense(_scaled(256, width), activation="relu")(z)
    h = layers.Dense(smallest[0] * smallest[1] * smallest[2], activation="relu")(h)
    h = layers.Reshape(smallest)(h)
    for filters in (64, 32, 32):
        h = Bias("relu")(layers.Conv2DTranspose(_scaled(filters, width), 4, 2, **SAME)(h))
    logits = ConvTransposeToImage(channels, 4, 2, padding="same", dtype=at_least_float32(), name="logits")(h)
    return keras.Model(z, logits, name="decoder")


def _scaled(number, width):
    return max(1, round(number * width))


def _checked(image_shape):
    if len(image_shape) != 3 or image_shape[0] % 16 or image_shape[1] % 16:
        raise ValueError(f"image_shape must be (height, width, channels), height and width divisible by 16, got {image_shape}.")
    return image_shape
