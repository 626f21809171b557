"""Autoregressive flows: invertible maps whose inverse direction is one pass of a masked network.

Papamakarios, Pavlakou and Murray, "Masked Autoregressive Flow for Density Estimation", NeurIPS 2017; Kingma et al.,
"Improved Variational Inference with Inverse Autoregressive Flow", NeurIPS 2016; the masks are those of
Germain et al., "MADE", ICML 2015. The Echo paper (appendix E) takes mean-only steps with three hidden layers of 640.

The flow itself is TensorFlow Probability's; its network is a Keras layer, so that its weights are the model's
weights and train with them. It runs on TensorFlow only.
"""

import keras
import numpy as np
from keras import ops

from echo_tf import arguments
from echo_tf.errors import InputError
from echo_tf.guards import at_least_float32

LARGEST_LOG_SCALE = 3.0  # of a step: see `AutoregressiveFlow`


def autoregressive_masks(size, hidden_units, outputs_per_dimension=1):
    """Masks (inputs, outputs) of dense layers: output i depends on inputs 0 .. i - 1 alone (MADE, equations 12-13)."""
    degrees = [np.arange(1, size + 1)]
    degrees += [1 + np.arange(units) * max(size - 1, 1) // units for units in hidden_units]
    masks = [before[:, None] <= after[None, :] for before, after in zip(degrees, degrees[1:])]
    last = np.repeat(np.arange(1, size + 1), outputs_per_dimension)
    masks.append(degrees[-1][:, None] < last[None, :])
    return [mask.astype("float32") for mask in masks]


@keras.saving.register_keras_serializable(package="echo_tf")
class AutoregressiveNetwork(keras.layers.Layer):
    """Masked dense network: output i depends on inputs before i only (MADE).

    Args:
        hidden_units: sizes of the hidden layers.
        outputs_per_dimension: 1, or more for several numbers a dimension.
        activation: of the hidden layers.

    Call arguments:
        x: (B, d).

    Input shape: (B, d). Output shape: (B, d, outputs_per_dimension). Masked weights exist and stay without effect:
    they count as parameters, as in the Echo paper's Table 1.
    """

    def __init__(self, hidden_units=(640, 640, 640), outputs_per_dimension=1, activation="relu", dtype=None, **kwargs):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        self.hidden_units = tuple(hidden_units)
        self.outputs_per_dimension = outputs_per_dimension
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        self._masks = autoregressive_masks(input_shape[-1], self.hidden_units, self.outputs_per_dimension)
        self._kernels = [
            self.add_weight(shape=mask.shape, initializer="glorot_normal", name=f"kernel_{i}")
            for i, mask in enumerate(self._masks)
        ]
        self._biases = [
            self.add_weight(shape=(mask.shape[1],), initializer="zeros", name=f"bias_{i}") for i, mask in enumerate(self._masks)
        ]

    def call(self, x):
        for i, (mask, kernel, bias) in enumerate(zip(self._masks, self._kernels, self._biases)):
            x = ops.matmul(x, kernel * mask) + bias
            if i + 1 < len(self._masks):
                x = self.activation(x)
        return ops.reshape(x, (-1, x.shape[-1] // self.outputs_per_dimension, self.outputs_per_dimension))

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "outputs_per_dimension": self.outputs_per_dimension,
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable(package="echo_tf")
class AutoregressiveFlow(keras.layers.Layer):
    """A chain of autoregressive steps with the order of the dimensions reversed between them.

    Args:
        num_steps: number of steps (2 gives the parameter counts of the Echo paper's Table 1).
        hidden_units: of each step's network.
        mean_only: whether steps only shift (constant Jacobian, the Echo paper's choice) or also scale. The log scale s of a
            step is then 3 tanh(a / 3) of what its network gives, a: near 0 that itself, and a scale within e^-3 and e^3, or
            a density could be made as narrow, and its loss as large, as one step of an optimizer likes. (Real NVP, Dinh et
            al., ICLR 2017, bounds it by a tanh as well, TFP's own network clips it to [-5, 3]; the MAF paper has no bound.)
        trained: if false, the networks keep their initial weights (what the released Echo code came to).

    Call arguments:
        y: (B, d).

    Returns (of a call): what `inverse` returns.

    Raises:
        ValueError: for inputs that are not (B, d), num_steps < 1, or another backend than TensorFlow.
    """

    def __init__(self, num_steps=2, hidden_units=(640, 640, 640), mean_only=True, trained=True, dtype=None, **kwargs):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        num_steps = arguments.integer("num_steps", num_steps)
        hidden_units = tuple(arguments.integer("each of hidden_units", units) for units in hidden_units)
        for name, value in (("mean_only", mean_only), ("trained", trained)):
            arguments.flag(name, value)
        if keras.backend.backend() != "tensorflow":
            raise InputError(
                f"flows use TensorFlow Probability and need KERAS_BACKEND=tensorflow, which is {keras.backend.backend()}."
            )
        self.num_steps, self.hidden_units, self.mean_only, self.trained = num_steps, hidden_units, mean_only, trained
        self._networks = [
            AutoregressiveNetwork(hidden_units, 1 if mean_only else 2, dtype=self.dtype_policy) for _ in range(num_steps)
        ]

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(f"a flow takes codes of shape (B, d), got {tuple(input_shape)}.")
        for network in self._networks:
            network.build(input_shape)
        self._size = input_shape[-1]
        if not self.trained:
            self.trainable = False

    def call(self, y):
        return self.inverse(y)

    def inverse(self, y):
        """(u, log |det du/dy|) of shapes (B, d) and (B,): the direction of one network pass a step."""
        bijector = self._bijector()
        u = bijector.inverse(y)
        if self.mean_only:
            return u, ops.zeros_like(y[:, 0])
        return u, bijector.inverse_log_det_jacobian(y, event_ndims=1)

    def forward(self, u):
        """y with inverse(y) = u: d network passes a step, one dimension after another."""
        return self._bijector().forward(u)

    def _bijector(self):
        import tensorflow_probability as tfp

        tfb = tfp.bijectors
        steps = []
        for i, network in enumerate(self._networks):
            if i:
                steps.append(tfb.Permute(list(range(self._size))[::-1]))
            steps.append(tfb.MaskedAutoregressiveFlow(_as_shift_and_log_scale(network), is_constant_jacobian=self.mean_only))
        return tfb.Chain(steps)

    def get_config(self):
        own = ("num_steps", "hidden_units", "mean_only", "trained")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _as_shift_and_log_scale(network):
    """The network in the form that TensorFlow Probability wants."""

    def shift_and_log_scale(y, **_):
        outputs = network(y)
        if network.outputs_per_dimension == 1:
            return outputs[..., 0], None
        return outputs[..., 0], LARGEST_LOG_SCALE * ops.tanh(outputs[..., 1] / LARGEST_LOG_SCALE)

    return shift_and_log_scale
