"""The DCGAN, as the AIS paper takes it for CIFAR-10, and a discriminator that is its mirror image.

Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
ICLR 2016; sizes of the generator as in the released code of "Evaluating Lossy Compression Rates of Deep Generative Models".
For 32 x 32 images:

    z d -> dense 2x2x1024 -> BN, ReLU -> convT 512 -> BN, ReLU -> convT 256 -> BN, ReLU -> convT 128
        -> BN, ReLU -> convT C, tanh -> f(z) 32x32xC                              each 4x4 /2, without a bias
    x 32x32xC -> conv 128 -> conv 256 -> conv 512 -> conv 1024 -> dense 1  logit  each 4x4 /2, leaky ReLU

Images are in [-1, 1]: `pixel_range: [-1, 1]`. The discriminator is ours, as the AIS paper names none; its `normalization` is
"batch" (DCGAN), "spectral" (Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, by
Keras's own layer) or "none", as a gradient penalty needs it. Weights start as N(0, 0.02^2), scales of batch normalization as
N(1, 0.02^2).
"""

import keras
from keras import layers

from echo_tf import at_least_float32

LAST = "channels_last"  # the layout of images, whatever the configuration of Keras says

MULTIPLE = 16  # of which height and width must be: four halvings
FILTERS = (128, 256, 512, 1024)
NORMALIZATIONS = ("batch", "spectral", "none")


def decoder(latent_dim=100, image_shape=(32, 32, 3), width=1.0):
    """z (B, latent_dim) -> f(z) (B, H, W, C) in [-1, 1].

    Args:
        latent_dim: d, the size of the code; the AIS paper's are 5, 10 and 100.
        image_shape: (H, W, C), H and W divisible by 16.
        width: factor on the number of filters (1 in the paper).
    """
    height, width_pixels, channels = _checked(image_shape)
    *rest, first = (max(1, round(filters * width)) for filters in FILTERS)
    z = keras.Input((latent_dim,), name="z")
    h = layers.Dense(height // 16 * (width_pixels // 16) * first, use_bias=False, kernel_initializer=_normal(0.0))(z)
    h = layers.Reshape((height // 16, width_pixels // 16, first))(h)
    for filters in (*reversed(rest), channels):
        h = layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=_normal(1.0))(h))
        h = layers.Conv2DTranspose(filters, 4, 2, "same", data_format=LAST, use_bias=False, kernel_initializer=_normal(0.0))(h)
    return keras.Model(z, layers.Activation("tanh", dtype=at_least_float32())(h), name="decoder")


def discriminator(image_shape=(32, 32, 3), width=1.0, normalization="batch"):
    """x (B, H, W, C) -> logit (B, 1). The last convolution's output is named "features". Args: as `decoder`.

    Raises:
        ValueError: for another normalization.
    """
    _checked(image_shape)
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}, got {normalization!r}.")
    h = x = keras.Input(image_shape, name="x")
    for i, filters in enumerate(FILTERS):
        convolution = layers.Conv2D(max(1, round(filters * width)), 4, 2, "same", LAST, kernel_initializer=_normal(0.0))
        h = _spectral(convolution, normalization)(h)
        if normalization == "batch" and i:  # DCGAN has none on the images themselves
            h = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=_normal(1.0))(h)
        if i + 1 == len(FILTERS):
            h = layers.Activation("linear", name="features")(h)
        h = layers.LeakyReLU(0.2)(h)
    last = layers.Dense(1, kernel_initializer=_normal(0.0), dtype=at_least_float32(), name="logit")
    return keras.Model(x, _spectral(last, normalization)(layers.Flatten(data_format=LAST)(h)), name="discriminator")


def _spectral(layer, normalization):
    return layers.SpectralNormalization(layer) if normalization == "spectral" else layer


def _normal(mean):
    return keras.initializers.RandomNormal(mean, 0.02)


def _checked(image_shape):
    if len(image_shape) != 3 or image_shape[0] % MULTIPLE or image_shape[1] % MULTIPLE:
        raise ValueError(f"image_shape must be (height, width, channels), height and width divisible by 16, got {image_shape}.")
    return image_shape
