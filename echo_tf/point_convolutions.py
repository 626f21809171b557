"""Convolutions between a whole image and a single point. They are matrix products, and run as such."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="echo_tf")
class ConvToPoint(keras.layers.Conv2D):
    """A `Conv2D` whose kernel covers the whole input, computed as the matrix product that it is.

    Weights, initial values and outputs are those of `Conv2D(..., padding="valid")`. Convolution kernels are not made
    for one output place: TensorFlow's on a CPU took three times as long as the product (7 x 7 x 64 to 256, batch 100).

    Args: as of `keras.layers.Conv2D`; stride 1 and no padding, which are the defaults.

    Input shape: (B, H, W, C), the kernel being H x W. Output shape: (B, 1, 1, filters).

    Raises:
        ValueError: for an input of another size than the kernel, or another stride or padding.
    """

    def build(self, input_shape):
        _check(self, input_shape, self.kernel_size)
        super().build(input_shape)

    def convolution_op(self, inputs, kernel):
        flat = ops.reshape(inputs, (-1, kernel.shape[0] * kernel.shape[1] * kernel.shape[2]))
        return ops.matmul(flat, ops.reshape(kernel, (-1, self.filters)))[:, None, None]


@keras.saving.register_keras_serializable(package="echo_tf")
class ConvFromPoint(keras.layers.Conv2DTranspose):
    """A `Conv2DTranspose` of a single point, computed as the matrix product that it is.

    Weights, initial values and outputs are those of `Conv2DTranspose(..., padding="valid")`.

    Args: as of `keras.layers.Conv2DTranspose`; stride 1 and no padding, which are the defaults.

    Input shape: (B, 1, 1, C). Output shape: (B, *kernel_size, filters).

    Raises:
        ValueError: for an input of more than one point, or another stride or padding.
    """

    def build(self, input_shape):
        _check(self, input_shape, (1, 1))
        super().build(input_shape)

    def call(self, inputs):
        height, width, filters, channels = self.kernel.shape
        product = ops.matmul(ops.reshape(inputs, (-1, channels)), ops.transpose(ops.reshape(self.kernel, (-1, channels))))
        outputs = ops.reshape(product, (-1, height, width, filters))
        return self.activation(outputs + self.bias if self.use_bias else outputs)


def _check(layer, input_shape, size):
    for name, usual in (("groups", 1), ("dilation_rate", (1, 1)), ("data_format", "channels_last")):
        if (found := getattr(layer, name, usual)) != usual:
            raise ValueError(f"{type(layer).__name__} takes {name}={usual!r}, got {found!r}: use keras.layers for another.")
    if tuple(input_shape[1:3]) != size or layer.strides != (1, 1) or layer.padding != "valid":
        raise ValueError(
            f"{type(layer).__name__} with the kernel {layer.kernel_size} takes images of size {size}, stride 1 and padding "
            f"'valid', got {tuple(input_shape)}, {layer.strides} and {layer.padding!r}."
        )
