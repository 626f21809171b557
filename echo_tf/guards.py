"""What backends and precisions ask for: checks of tensor values, a floor under precision, where we run."""

import contextlib
import functools
import gc
import re

import keras
import numpy as np

from echo_tf.precision import HALF


def require(condition, message, then):
    """The tensor `then`, or ValueError(message) unless the scalar boolean tensor `condition` holds.

    Inside a TensorFlow graph the check runs with the graph (InvalidArgumentError with the same message), and before all that
    is made of what this returns: a training step that is refused moves no weight. Inside a JAX trace or an XLA-compiled graph
    values cannot be seen, and nothing is checked.
    """
    holds = values_of(condition)
    if holds is None:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
                return tf.identity(then)
    elif not holds:
        raise ValueError(message)
    return then


def values_of(tensor):
    """The values of a tensor as a numpy array, or None within a graph or trace, where they cannot be seen."""
    if keras.utils.is_keras_tensor(tensor):
        return None
    try:
        return np.asarray(tensor)
    except (NotImplementedError, TypeError):  # a symbolic TensorFlow tensor, a JAX tracer
        return None


@contextlib.contextmanager
def plain_errors():
    """Turns what a TensorFlow graph raises for a failed `require`, or for a ValueError of what brings its batches, into the
    ValueError that it is elsewhere."""
    try:
        yield
    except Exception as error:
        said = re.search(r"assertion failed: \[(.*?)\] *\n|ValueError: (.*?)\n+Traceback", str(error))
        if type(error).__name__ != "InvalidArgumentError" or said is None:
            raise
        message = said.group(1) or said.group(2)
    else:
        return
    raise ValueError(message)


def num_replicas():
    """How many replicas a `tf.distribute` strategy divides a batch among; 1 without one."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def mean_over_replicas(x):
    """The mean of a replica's tensor over all replicas, the same in each."""
    if num_replicas() == 1:
        return x
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return x if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def at_least_float32(dtype=None):
    """The dtype policy `dtype` (None: the global one), or float32 where it computes in half precision.

    The rule of this library: what squares, takes differences, exponentiates or sums over many is float32 or better. Layers
    that do so have this policy; functions outside layers go through `precise`.
    """
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    return "float32" if policy.compute_dtype in HALF else policy


def precise(*tensors):
    """The tensors, those of half precision as float32; see `at_least_float32`."""
    tensors = [keras.ops.convert_to_tensor(x) for x in tensors]
    return [keras.ops.cast(x, "float32") if keras.backend.standardize_dtype(x.dtype) in HALF else x for x in tensors]


def refuse_half_weights(policy):
    """Raises ValueError where weights or examples themselves would be of half precision, as another project's configuration
    of Keras may have it: small steps of the weights are then rounded away."""
    if found := {keras.config.floatx(), policy.variable_dtype} & set(HALF):
        raise ValueError(
            f"examples and weights must be of float32 or better, got {found.pop()} (see keras.config.floatx() and "
            "~/.keras/keras.json): call keras.config.set_floatx('float32') and keras.config.set_dtype_policy('float32'), or "
            "'mixed_bfloat16', before the networks are made."
        )


def by_keyword(others, loss, instead):
    """Raises TypeError for what stands behind `compile`'s optimizer without a name, ValueError for a loss."""
    if others:
        raise TypeError(f"compile takes the optimizer, and all else by keyword, got {others[0]!r} behind it: {instead}.")
    if loss is not None:
        raise ValueError(f"{instead}: leave loss={loss!r} out.")


def jit_unless_on_cpu(jit_compile):
    """`jit_compile` as given; for None Keras's choice, but no XLA for TensorFlow on a CPU."""
    if jit_compile is not None:
        return jit_compile
    return False if on_tensorflow_cpu() else "auto"


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


def forget_compiled(model):
    """Drops a model's compiled functions, which hold the pool of donors that they were traced with."""
    for name in ("train_function", "test_function", "predict_function"):
        setattr(model, name, None)
