"""The convolutions with divisive normalization that the isometric VAE paper trains on CelebA at 64 x 64.

"Quantitative Understanding of VAE as a Non-linearly Scaled Isometric Embedding", appendices D.2 and F.

    x HxWxC -> conv 9x9/2-64 GDN -> 3 x conv 5x5/2-64 GDN -> flatten -> dense `hidden` softplus --|-> dense d  loc
                                                                                                  `-> dense d  log variance / 2
    z d -> dense `hidden` softplus -> dense (H/16)(W/16)64 softplus -> (H/16, W/16, 64)
        -> 3 x transposed conv 5x5/2-64 IGDN -> transposed conv 9x9/2-C IGDN -> output HxWxC

2,873,679 parameters at d = 32, hidden = 1024; 6,447,887 at d = 256, hidden = 2048. The output ends in IGDN as the paper's does,
and has no bounds. Where the paper is silent, padding is "same".
"""

import keras
from keras import layers

from echo_tf import GDN, IGDN, at_least_float32

LAST = "channels_last"  # the layout of images, whatever the configuration of Keras says

MULTIPLE = 16  # of which height and width must be
CHANNELS = 64


def encoder(latent_dim=32, head_activations=("linear", "linear"), image_shape=(64, 64, 3), width=1.0, hidden=1024):
    """x (B, H, W, C) -> [loc, log_scale], both (B, latent_dim).

    Args:
        latent_dim: d, the size of the code; the paper's are 32 and 256.
        head_activations: of loc and of log_scale; a channel's `head_activations`.
        image_shape: (H, W, C).
        width: factor on the numbers of channels and hidden units.
        hidden: units of the dense layer beside the code; the paper's are 1024 and 2048.
    """
    x = keras.Input(image_shape, name="x")
    h = x
    for size in (9, 5, 5, 5):
        h = GDN()(layers.Conv2D(round(CHANNELS * width), size, strides=2, padding="same", data_format=LAST)(h))
    h = layers.Dense(round(hidden * width), activation="softplus")(layers.Flatten(data_format=LAST)(h))
    heads = [
        layers.Dense(latent_dim, activation=head, dtype=at_least_float32(), name=name)(h)
        for name, head in zip(("loc", "log_scale"), head_activations)
    ]
    return keras.Model(x, heads, name="encoder")


def decoder(latent_dim=32, image_shape=(64, 64, 3), width=1.0, hidden=1024):
    """z (B, latent_dim) -> output (B, H, W, C). Args: as `encoder`."""
    height, breadth, colors = image_shape
    small = (height // 16, breadth // 16, round(CHANNELS * width))
    z = keras.Input((latent_dim,), name="z")
    h = layers.Dense(round(hidden * width), activation="softplus")(z)
    h = layers.Dense(small[0] * small[1] * small[2], activation="softplus")(h)
    h = layers.Reshape(small)(h)
    for channels, size in ((small[2], 5), (small[2], 5), (small[2], 5), (colors, 9)):
        h = IGDN()(layers.Conv2DTranspose(channels, size, strides=2, padding="same", data_format=LAST)(h))
    return keras.Model(z, layers.Activation("linear", dtype=at_least_float32())(h), name="decoder")
