"""Convolutions that are faster as matrix products: between a whole image and a point, and to an image of few channels."""

import keras
from keras import ops

from echo_tf.guards import on_tensorflow_cpu


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

    def __init__(self, *args, data_format="channels_last", **kwargs):
        super().__init__(*args, data_format=data_format, **kwargs)

    def build(self, input_shape):
        _check_size(self, input_shape, self.kernel_size)
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

    def __init__(self, *args, data_format="channels_last", **kwargs):
        super().__init__(*args, data_format=data_format, **kwargs)

    def build(self, input_shape):
        _check_size(self, input_shape, (1, 1))
        super().build(input_shape)

    def call(self, inputs):
        height, width, filters, channels = self.kernel.shape
        product = ops.matmul(ops.reshape(inputs, (-1, channels)), ops.transpose(ops.reshape(self.kernel, (-1, channels))))
        outputs = ops.reshape(product, (-1, height, width, filters))
        return self.activation(outputs + self.bias if self.use_bias else outputs)


@keras.saving.register_keras_serializable(package="echo_tf")
class ConvToImage(keras.layers.Conv2D):
    """A `Conv2D` of one filter or a few, computed as a product with all places of the kernel, and sums over places.

    Weights, initial values and outputs are those of `Conv2D(..., padding="same")`. Convolution kernels are not made for one
    filter: TensorFlow's on a CPU took two and a half times as long, with its gradient (4 x 4 x 32 to 1, 28 x 28, batch 100).
    On a GPU, and under other backends, this is `Conv2D` itself.

    Args: as of `keras.layers.Conv2D`; stride 1, padding "same".

    Input shape: (B, H, W, C). Output shape: (B, H, W, filters).

    Raises:
        ValueError: for another stride or padding.
    """

    def __init__(self, *args, data_format="channels_last", **kwargs):
        super().__init__(*args, data_format=data_format, **kwargs)

    def build(self, input_shape):
        _check(self, strides=(1, 1), padding="same")
        super().build(input_shape)

    def convolution_op(self, inputs, kernel):
        if not _faster_as_product(inputs):
            return super().convolution_op(inputs, kernel)
        turned = ops.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))  # of the transposed convolution that is the same
        return _transposed_convolution(inputs, turned, (1, 1), [size // 2 for size in self.kernel_size])


@keras.saving.register_keras_serializable(package="echo_tf")
class ConvTransposeToImage(keras.layers.Conv2DTranspose):
    """A `Conv2DTranspose` of one filter or a few, computed as `ConvToImage` is.

    Weights, initial values and outputs are those of `Conv2DTranspose(..., padding="same")`.

    Args: as of `keras.layers.Conv2DTranspose`; strides no larger than the kernel, padding "same".

    Input shape: (B, H, W, C). Output shape: (B, H * stride, W * stride, filters).

    Raises:
        ValueError: for a stride larger than the kernel, or another padding.
    """

    def __init__(self, *args, data_format="channels_last", **kwargs):
        super().__init__(*args, data_format=data_format, **kwargs)

    def build(self, input_shape):
        _check(self, padding="same")
        if any(stride > size for stride, size in zip(self.strides, self.kernel_size)):
            raise ValueError(f"ConvTransposeToImage takes strides up to its kernel's {self.kernel_size}, got {self.strides}.")
        super().build(input_shape)

    def call(self, inputs):
        if not _faster_as_product(inputs):
            return super().call(inputs)
        before = [(size - stride) // 2 for size, stride in zip(self.kernel_size, self.strides)]
        outputs = _transposed_convolution(inputs, self.kernel, self.strides, before)
        return self.activation(outputs + self.bias if self.use_bias else outputs)


def _check(layer, **takes):
    """Refuses what a layer's product does not do: anything but what it `takes`, and but Keras's defaults of the rest."""
    takes = {"groups": 1, "dilation_rate": (1, 1), "data_format": "channels_last", "output_padding": None, **takes}
    for name, value in takes.items():
        if (found := getattr(layer, name, value)) != value:
            raise ValueError(f"{type(layer).__name__} takes {name}={value!r}, got {found!r}: use keras.layers for another.")


def _check_size(layer, input_shape, size):
    _check(layer, strides=(1, 1), padding="valid")
    if tuple(input_shape[1:3]) != size:
        raise ValueError(
            f"{type(layer).__name__} with the kernel {layer.kernel_size} takes images of size {size}, got {tuple(input_shape)}."
        )


def _faster_as_product(images):
    return on_tensorflow_cpu() and None not in images.shape[1:]


def _transposed_convolution(x, kernel, strides, before):
    """x (B, H, W, C), kernel (k, l, F, C) -> (B, s H, t W, F): x[h, w] kernel[i, j] is added at (s h + i, t w + j) - before."""
    import tensorflow as tf

    rows, columns, filters, channels = kernel.shape
    height, width = x.shape[1:3]

    @tf.custom_gradient
    def convolved(x, kernel):
        flat, places = tf.reshape(x, (-1, channels)), tf.reshape(kernel, (-1, channels))
        products = tf.reshape(tf.matmul(places, flat, transpose_b=True), (rows, columns, -1, height, width))  # F B images each
        along_width = [_joined(tf.unstack(row), 2, strides[1], before[1]) for row in tf.unstack(products)]
        joined = _joined(along_width, 1, strides[0], before[0])

        def gradient(upstream):
            if strides != (1, 1):  # a convolution of few channels to many: TensorFlow's is fast
                sizes = {"strides": (1, *strides, 1), "padding": "SAME"}
                of_kernel = tf.raw_ops.Conv2DBackpropFilter(input=upstream, filter_sizes=kernel.shape, out_backprop=x, **sizes)
                return tf.nn.conv2d(upstream, kernel, **sizes), of_kernel
            images = tf.reshape(tf.transpose(upstream, (3, 0, 1, 2)), (-1, height, width))
            by_row = [_shifted(images, 1, before[0] - i) for i in range(rows)]
            by_place = tf.stack([_shifted(row, 2, before[1] - j) for row in by_row for j in range(columns)])
            by_place = tf.reshape(by_place, (rows * columns * filters, -1))
            of_x = tf.reshape(tf.matmul(by_place, places, transpose_a=True), tf.shape(x))
            return of_x, tf.reshape(tf.matmul(by_place, flat), kernel.shape)

        return tf.transpose(tf.reshape(joined, (filters, -1, *joined.shape[1:])), (1, 2, 3, 0)), gradient

    return convolved(x, tf.convert_to_tensor(ops.convert_to_tensor(kernel)))


def _joined(parts, axis, stride, before):
    """The sum of parts (N, H, W), part i at the places stride * h + i - before of the axis, made stride times as long."""
    import tensorflow as tf

    phases = [[] for _ in range(stride)]
    for i, part in enumerate(parts):
        shift, phase = divmod(i - before, stride)
        phases[phase].append(_shifted(part, axis, shift))
    phases = [tf.add_n(phase) for phase in phases]
    shape = list(parts[0].shape)
    shape[axis] *= stride
    return phases[0] if stride == 1 else tf.reshape(tf.stack(phases, axis + 1), [-1, *shape[1:]])


def _shifted(images, axis, shift):
    """images (N, H, W) moved by so many places along an axis, zeros moving in."""
    import tensorflow as tf

    if shift == 0:
        return images
    padding, kept = [(0, 0)] * 3, [slice(None)] * 3
    padding[axis] = (max(shift, 0), max(-shift, 0))
    kept[axis] = slice(max(-shift, 0), images.shape[axis] + max(-shift, 0))
    return tf.pad(images, padding)[tuple(kept)]
