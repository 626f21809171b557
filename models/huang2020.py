"""The linear VAE, whose rate-distortion curve is known exactly: what annealed importance sampling is held against.

Huang, Makhzani, Cao and Grosse, "Evaluating Lossy Compression Rates of Deep Generative Models", ICML 2020, appendix B.1 and
figure 3. Its generative model is probabilistic PCA with a bias.

    x HxWxC -> flatten --|-> dense d  loc
                         `-> dense d  log_scale
    z d -> dense HWC -> W z + b  HxWxC

Trained with the distortion "gaussian" of variance 1.

And the small convolutional network in whose features the same paper takes distances between images (section 6; sizes as in its
released code):

    x HxWxC -> conv 5x5 20 ReLU -> pool /2 -> conv 5x5 50 ReLU  features -> pool /2 -> dense  logits

with "valid" convolutions.
"""

import math

import keras
from keras import layers

from echo_tf import at_least_float32

LAST = "channels_last"  # the layout of images, whatever the configuration of Keras says


def encoder(latent_dim=100, head_activations=("linear", "linear"), image_shape=(28, 28, 1), width=1.0):
    """x (B, H, W, C) -> [loc, log_scale], both (B, latent_dim). There is no hidden layer for `width` to scale."""
    x = keras.Input(image_shape, name="x")
    flat = layers.Flatten(data_format=LAST)(x)
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


def classifier(num_classes=10, image_shape=(28, 28, 1), width=1.0):
    """x (B, H, W, C) -> logits (B, num_classes). Its layer "features" gives (B, 50 * 8 * 8) numbers for images of 28 x 28.

    Raises:
        ValueError: for images smaller than 16 x 16.
    """
    if len(image_shape) != 3 or min(image_shape[:2]) < 16:
        raise ValueError(f"image_shape must be (height, width, channels), 16 or more a side, got {image_shape}.")
    x = keras.Input(image_shape, name="x")
    h = layers.Conv2D(max(1, round(20 * width)), 5, data_format=LAST, activation="relu")(x)
    h = layers.MaxPooling2D(2, data_format=LAST)(h)
    h = layers.Conv2D(max(1, round(50 * width)), 5, data_format=LAST, activation="relu")(h)
    flat = layers.Flatten(data_format=LAST, name="features")(h)
    h = layers.MaxPooling2D(2, data_format=LAST)(layers.Reshape(h.shape[1:])(flat))
    logits = layers.Dense(num_classes, dtype=at_least_float32(), name="logits")(layers.Flatten(data_format=LAST)(h))
    return keras.Model(x, logits, name="classifier")
