"""A bias that learns in half precision."""

import keras
from keras import ops

from echo_tf.guards import at_least_float32


@keras.saving.register_keras_serializable(package="echo_tf")
class Bias(keras.layers.Layer):
    """Adds a bias to each channel and applies an activation, in float32 or better.

    Stands behind a convolution with `use_bias=False` in a model that may run in mixed precision. The gradient
    of a bias is a sum over examples and pixels, which TensorFlow's CPU kernel accumulates in the precision of its
    input: in bfloat16 the sum stalls, and came out 30 times too small on 100 images of 28 x 28.

    Args:
        activation: as of any Keras layer.

    Call arguments:
        inputs: (B, ..., C).

    Input and output shape: (B, ..., C). In float32 it is what the convolution's own bias would do.

    Example:

    >>> x = keras.Input((28, 28, 1))
    >>> h = Bias("relu")(keras.layers.Conv2D(32, 5, use_bias=False)(x))
    >>> h.shape
    (None, 24, 24, 32)
    """

    def __init__(self, activation=None, dtype=None, **kwargs):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")

    def call(self, inputs):
        return self.activation(ops.add(inputs, self.bias))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "activation": keras.activations.serialize(self.activation)}
