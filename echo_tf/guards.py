"""What backends and precisions ask for: checks of tensor values, a floor under precision, where we run."""

import functools
import gc

import keras
import numpy as np


def require(condition, message):
    """Raises ValueError(message) unless the scalar boolean tensor `condition` holds.

    Inside a TensorFlow graph the check runs with the graph (InvalidArgumentError with the same
    message). Inside a JAX trace or an XLA-compiled graph values cannot be seen, and nothing is checked.
    """
    try:
        holds = bool(np.asarray(condition))
    except (NotImplementedError, TypeError):  # a symbolic TensorFlow tensor, a JAX tracer
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.debugging.Assert(condition, [message])
        return
    if not holds:
        raise ValueError(message)


def at_least_float32(dtype=None):
    """The dtype policy `dtype` (None: the global one), or float32 where it computes in half precision."""
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    return "float32" if policy.compute_dtype in ("float16", "bfloat16") else policy


@functools.cache
def on_tensorflow_cpu():
    """Whether Keras computes with TensorFlow on a machine without a GPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def clear_session():
    """Frees what Keras and TensorFlow keep of models that are no longer used; for between the runs of a study.

    Keras's own function does not free the graphs: TensorFlow registers every custom gradient in them for ever, and
    with it the graph and its variables (15 MB a run and more). The registry has no public way out.
    """
    keras.utils.clear_session()
    if keras.backend.backend() == "tensorflow":
        from tensorflow.python.framework import ops

        registered = getattr(getattr(ops, "gradient_registry", None), "_registry", {})
        for name in [name for name in registered if name.startswith("CustomGradient-")]:
            del registered[name]
    gc.collect()
