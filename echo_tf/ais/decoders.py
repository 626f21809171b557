"""Decoders made of decoders: blurred images, and images as another network sees them."""

import keras
import numpy as np
from keras import ops

from echo_tf import arguments

SIZE = 5  # of the kernel, pixels a side


@keras.saving.register_keras_serializable(package="echo_tf")
class GaussianBlur(keras.layers.Layer):
    """Convolves images with a Gaussian kernel of 5 x 5 pixels whose sum is 1; beyond the edge, images are reflected.

    The kernel is a product of two of one dimension, so that the blur is a matrix product for each axis.

    Reference: "Evaluating Lossy Compression Rates of Deep Generative Models", section 6, whose VAE10 is blurred so.

    Args:
        width: sigma in pixels.

    Input and output shape: (B, H, W, C), H and W of 3 or more.

    Raises:
        ValueError: for a width that is not positive, or other shapes.
    """

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = arguments.number("width", width, "(0, inf)")

    def build(self, input_shape):
        if len(input_shape) != 4 or min(input_shape[1:3]) <= SIZE // 2:
            raise ValueError(
                f"a blur takes images (B, H, W, C), H and W above {SIZE // 2}, got the shape {tuple(input_shape)}."
            )
        self._along = [blur_matrix(side, self.width) for side in input_shape[1:3]]

    def call(self, images):
        rows, columns = (ops.cast(matrix, images.dtype) for matrix in self._along)
        return ops.einsum("ih,bhwc,jw->bijc", rows, images, columns)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def blur_matrix(side: int, width: float) -> np.ndarray:
    """The blur along one axis as a matrix (side, side), float64: each row sums to 1."""
    offsets = np.arange(SIZE) - SIZE // 2
    kernel = np.exp(-0.5 * (offsets / width) ** 2)
    places = np.abs(np.arange(side)[:, None] + offsets)  # reflected without repeating the edge
    places = np.where(places >= side, 2 * (side - 1) - places, places)
    matrix = np.zeros((side, side))
    np.add.at(matrix, (np.arange(side)[:, None], places), kernel / kernel.sum())
    return matrix


def of_means(decoder: keras.Model, measure) -> keras.Model:
    """z -> the image that the decoder's output stands for, which squared errors, blurs and other networks take.

    Of logits, that is their sigmoid; where the output is the image itself, the decoder as it is.

    Args:
        measure: the `Distortion` that the decoder was trained with.
    """
    output = decoder(decoder.inputs[0])
    means = measure.reconstruct(output)
    return decoder if means is output else keras.Model(decoder.inputs[0], means, name="means")


def blurred(decoder: keras.Model, width: float) -> keras.Model:
    """The decoder with `GaussianBlur` behind its output."""
    return keras.Model(decoder.inputs[0], GaussianBlur(width)(decoder(decoder.inputs[0])), name="blurred")


def in_features(decoder: keras.Model, features: keras.Model) -> keras.Model:
    """z -> what `features` makes of the decoder's image: with the features of images in place of these, a squared error is
    one of features.

    Raises:
        ValueError: for features of other images than the decoder's.
    """
    if features.input_shape[1:] != decoder.output_shape[1:]:
        raise ValueError(
            f"the features must be of the decoder's images, {decoder.output_shape[1:]}, got {features.input_shape[1:]}."
        )
    return keras.Model(decoder.inputs[0], features(decoder(decoder.inputs[0])), name="in_features")
