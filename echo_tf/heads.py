"""The heads of networks: the activations that channels ask for, and what a head is known to end in before it runs."""

import keras
from keras import ops

RESHAPING = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Permute)
NOT_NEGATIVE = ("sigmoid", "hard_sigmoid", "hardsigmoid", "softmax", "relu", "relu6", "softplus", "exponential", "exp")
MAY_BE_ABOVE_0 = (*NOT_NEGATIVE, "linear", "tanh", "elu", "selu", "gelu", "silu", "leaky_relu", "mish")
UNBOUNDED = ("linear", "relu", "softplus", "exponential", "exp", "elu", "selu", "gelu", "silu", "leaky_relu", "mish")
RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}  # of decoders that end so
# what else a head cannot leave: images are refused beyond it, and need not fill it
WIDER = {name: (0.0, 1.0) for name in ("hard_sigmoid", "hardsigmoid", "softmax")} | {"relu6": (0.0, 6.0)}
WIDER |= {name: (0.0, float("inf")) for name in ("relu", "softplus", "exponential", "exp")}


@keras.saving.register_keras_serializable(package="echo_tf")
def tanh16(x):
    """tanh(x / 16), the paper's activation of the mean f: |f| <= 1 with a wide linear range (appendix B)."""
    return ops.tanh(x / 16.0)


@keras.saving.register_keras_serializable(package="echo_tf")
def half(x):
    """x / 2: makes log_scale of a head that, as in the released Echo code, yields the log variance."""
    return x / 2.0


def activation_of(tensor):
    """The name of the activation that a symbolic tensor comes out of ("linear" for none), or "" where that cannot be seen.

    Layers that only change a shape, and models that stand for a layer, are looked through.
    """
    while True:
        operation, _, index = getattr(tensor, "_keras_history", (None, 0, 0))
        if isinstance(operation, RESHAPING):
            tensor = operation.input
        elif isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
            tensor = operation.outputs[index]
        elif hasattr(operation, "activation"):
            return getattr(operation.activation, "__name__", "")
        else:  # keras.ops.sigmoid and its like are operations of their own
            return type(operation).__name__.lower()


def range_of(tensor):
    """(lowest, highest) of what a symbolic tensor's activation can give; None where that has no bounds or cannot be seen."""
    return (RANGES | WIDER).get(activation_of(tensor))


def refuse_above_0(log_sigmoid):
    """Raises ValueError for an Echo scale head (a symbolic tensor) whose activation may be above 0."""
    head = activation_of(log_sigmoid)
    if head in MAY_BE_ABOVE_0:
        raise ValueError(
            f"log_sigmoid must be <= 0, and the encoder's scale head ends in the activation {head!r}: "
            "end it in keras.activations.log_sigmoid."
        )


def outputs_of(model):
    """The symbolic outputs of a model, a list; [] of one whose graph cannot be seen (a subclass of `keras.Model`)."""
    try:
        return list(getattr(model, "outputs", None) or [])
    except (AttributeError, ValueError):
        return []
