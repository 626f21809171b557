"""Standardization by the first batch: a fixed affine map of codes, measured once."""

import keras
from keras import ops

from echo_tf.guards import at_least_float32, mean_over_replicas, num_replicas, require, values_of

LEAST = 9  # examples that are measured: a deviation of so many is known to a quarter, 1 / sqrt(2 (9 - 1)); of two it may be 0
TOO_FEW = (
    f"a standardized code is measured on the first training batch, of {LEAST} examples or more, and this one has fewer: take "
    "larger batches, or call start_from(encodings) of EchoSample first."
)
SMALLEST_DEVIATION = 1e-6  # of a code of magnitude 1: below it, differences are those that Echo's cut-off sum leaves


class Standardization(keras.layers.Layer):
    """(code - mean) / standard deviation, per channel: over all axes but the last.

    The two are those of the code given to `measure_once` for the first time; before, the code passes as it is. All replicas
    of a `tf.distribute` strategy share them, and no gradient flows through them.

    References: Salimans and Kingma, "Weight Normalization", NeurIPS 2016, section 3; Kingma and Dhariwal, "Glow", NeurIPS
    2018, section 3.1 (ActNorm), where the map is learned from there on.

    Call arguments:
        code: (B, ..., d).

    Input and output shape: (B, ..., d). A channel that is constant in the measured batch keeps its size.

    Raises:
        ValueError: where fewer than 9 examples are to be measured. Within XLA, which cannot, these are not measured.
    """

    def __init__(self, dtype=None, **kwargs):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)

    def build(self, input_shape):
        # all replicas set the same values: any one's will do
        kind = {"trainable": False, "aggregation": "only_first_replica", "dtype": self.compute_dtype}
        self.mean = self.add_weight(tuple(input_shape[-1:]), "zeros", name="mean", **kind)
        self.deviation = self.add_weight(tuple(input_shape[-1:]), "ones", name="deviation", **kind)
        self.measured = self.add_weight((), "zeros", name="measured", **kind)

    def call(self, code):
        return (code - self.mean) / self.deviation

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def measure_once(self, code):
        """Sets mean and standard deviation to those of the code, the first time only."""
        first = ops.convert_to_tensor(self.measured) == 0.0
        enough = ops.shape(code)[0] * num_replicas() >= LEAST
        code = ops.stop_gradient(require(ops.logical_or(enough, ops.logical_not(first)), TOO_FEW, code))
        axes = tuple(range(len(code.shape) - 1))
        mean = mean_over_replicas(ops.mean(code, axis=axes))
        deviation = ops.sqrt(mean_over_replicas(ops.mean(ops.square(code - mean), axis=axes)))
        deviation = ops.where(deviation > SMALLEST_DEVIATION * (1.0 + ops.abs(mean)), deviation, ops.ones_like(deviation))
        first = ops.logical_and(first, enough)
        self.mean.assign(ops.where(first, mean, ops.convert_to_tensor(self.mean)))
        self.deviation.assign(ops.where(first, deviation, ops.convert_to_tensor(self.deviation)))
        before = ops.convert_to_tensor(self.measured)
        self.measured.assign(ops.where(first, ops.ones_like(before), before))

    def measure_anew(self, code):
        """The same, whether or not they have been measured before."""
        if code.shape[0] < LEAST:
            raise ValueError(f"a standardized code is measured on {LEAST} examples or more, got {code.shape[0]}.")
        self.measured.assign(0.0)
        self.measure_once(code)

    def check_batch_size(self, batch_size):
        """Raises ValueError for training batches that are too small, where it has not been measured."""
        if batch_size < LEAST and self.built and values_of(self.measured.value) == 0.0:
            raise ValueError(TOO_FEW)
