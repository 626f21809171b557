"""The convolutional autoencoder of Alemi et al. with the Echo paper's changes.

Alemi, Poole, Fischer, Dillon, Saurous and Murphy, "Fixing a Broken ELBO", ICML 2018, as used by
Brekelmans et al., "Exact Rate-Distortion in Autoencoders via Echo Noise", NeurIPS 2019, appendix E:
ReLU, unnormalized gradients, fewer latents. Sizes for 28 x 28 images; f, s, z are the paper's letters.

    x 28x28x1 -> conv 5x5 32 -> conv 5x5 32 /2 -> conv 5x5 64 -> conv 5x5 64 /2 -> conv 7x7 256 valid -> 1x1x256
                                                                                    |-> dense d  f (loc)
                                                                                    `-> dense d  log s (log_scale)
    z d -> convT 7x7 64 valid -> convT 5x5 64 -> convT 5x5 64 /2 -> convT 5x5 32 -> convT 5x5 32 /2
        -> convT 4x4 32 -> conv kxk 1 -> logits 28x28x1

k = 4 in the paper (1,398,849 parameters at d = 32), 5 in the released configurations (1,399,137).
"""

import keras
from keras import layers

from echo_tf import Bias, ConvFromPoint, ConvToImage, ConvToPoint, at_least_float32

LAST = "channels_last"  # the layout of images, whatever the configuration of Keras says
SAME = {"padding": "same", "data_format": LAST, "use_bias": False}

MULTIPLE = 4  # of which height and width must be


def encoder(latent_dim=32, head_activations=("linear", "linear"), image_shape=(28, 28, 1), width=1.0):
    """x (B, H, W, C) -> [loc, log_scale], both (B, latent_dim).

    Args:
        latent_dim: d, the size of the code.
        head_activations: of loc and of log_scale; a channel's `head_activations`.
        image_shape: (H, W, C), H and W divisible by 4.
        width: factor on the number of filters (1 in the paper).
    """
    height, width_pixels, _ = _checked(image_shape)
    x = keras.Input(image_shape, name="x")
    h = x
    for filters, strides in ((32, 1), (32, 2), (64, 1), (64, 2)):
        h = Bias("relu")(layers.Conv2D(_scaled(filters, width), 5, strides, **SAME)(h))
    kernel = (height // 4, width_pixels // 4)
    h = Bias("relu")(ConvToPoint(_scaled(256, width), kernel, use_bias=False)(h))
    h = layers.Flatten(data_format=LAST)(h)
    precise = at_least_float32()
    heads = [
        layers.Dense(latent_dim, activation=activation, dtype=precise, name=name)(h)
        for name, activation in zip(("loc", "log_scale"), head_activations)
    ]
    return keras.Model(x, heads, name="encoder")


def decoder(latent_dim=32, image_shape=(28, 28, 1), width=1.0, output_kernel=4):
    """z (B, latent_dim) -> logits (B, H, W, C).

    Args: as `encoder`; output_kernel: k of the last convolution, 4 (paper) or 5 (released configurations).
    """
    height, width_pixels, channels = _checked(image_shape)
    z = keras.Input((latent_dim,), name="z")
    h = layers.Reshape((1, 1, latent_dim))(z)
    kernel = (height // 4, width_pixels // 4)
    h = Bias("relu")(ConvFromPoint(_scaled(64, width), kernel, use_bias=False)(h))
    for filters, kernel, strides in ((64, 5, 1), (64, 5, 2), (32, 5, 1), (32, 5, 2), (32, 4, 1)):
        h = Bias("relu")(layers.Conv2DTranspose(_scaled(filters, width), kernel, strides, **SAME)(h))
    logits = ConvToImage(channels, output_kernel, padding="same", dtype=at_least_float32(), name="logits")(h)
    return keras.Model(z, logits, name="decoder")


def _scaled(filters, width):
    return max(1, round(filters * width))


def _checked(image_shape):
    if len(image_shape) != 3 or image_shape[0] % 4 or image_shape[1] % 4:
        raise ValueError(f"image_shape must be (height, width, channels), height and width divisible by 4, got {image_shape}.")
    return image_shape
