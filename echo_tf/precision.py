"""The precision of computations: what squares, differences, exponentiates or sums over many is float32 or better."""

import contextlib

import keras
import numpy as np

HALF = ("float16", "bfloat16")
POLICIES = ("float32", "float64", *HALF, *(f"mixed_{name}" for name in HALF))


def in_precision(layer: keras.Layer, dtype: str) -> keras.Layer:
    """The same layer or network with the same weights, computing in `dtype` throughout.

    Raises:
        ValueError: for one that cannot be made again from its configuration.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)  # of layers whose configuration does not say theirs
    try:
        made = type(layer).from_config(_replaced(layer.get_config(), dtype))
        made.set_weights([_cast(weight, dtype) for weight in layer.get_weights()])
        if computes_in_half(made):
            raise ValueError("a layer of it computes in half precision whatever it is told")
        return made
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        name = getattr(layer, "name", type(layer).__name__)
        raise ValueError(f"{name} cannot be made again in {dtype} ({said}): give it in {dtype} itself.") from error
    finally:
        keras.config.set_dtype_policy(policy)


def computes_in_half(layer) -> bool:
    """Whether some layer of a Keras model, or the layer itself, computes in half precision."""
    return isinstance(layer, keras.Layer) and any(part.compute_dtype in HALF for part in layer._flatten_layers())


def in_float32(model):
    """An autoencoder whose encoder and decoder compute in float32 or better: `model` itself unless one computes in half.

    The other parts, which never compute in half, are the model's own.

    Raises:
        ValueError: as `in_precision`.
    """
    if not any(computes_in_half(part) for part in (model.encoder, model.decoder)):
        return model
    from echo_tf.autoencoder import RateDistortionAutoencoder

    encoder, decoder = (in_precision(part, "float32") for part in (model.encoder, model.decoder))
    others = {"marginal": model.marginal, "distortion": model.measure_of_distortion, "beta": float(model.beta)}
    return RateDistortionAutoencoder(encoder, model.channel, decoder, **others, dtype="float32")


@contextlib.contextmanager
def without_tensor_float_32():
    """Within it, matrix products and convolutions of a GPU are those of float32, whose factors it else rounds to 10 bits."""
    if keras.backend.backend() == "jax":
        import jax

        with jax.default_matmul_precision("float32"):
            yield
    elif keras.backend.backend() == "tensorflow":
        from tensorflow.config import experimental

        before = experimental.tensor_float_32_execution_enabled()
        experimental.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            experimental.enable_tensor_float_32_execution(before)
    else:
        yield


def _replaced(config, dtype):
    """A Keras configuration with every dtype and policy of floating point replaced by `dtype`."""
    if isinstance(config, dict):
        return {key: _replaced(value, dtype) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_replaced(value, dtype) for value in config)
    return dtype if isinstance(config, str) and config in POLICIES else config


def _cast(weight, dtype):
    is_float = keras.backend.is_float_dtype(keras.backend.standardize_dtype(weight.dtype))
    return np.asarray(weight).astype(dtype) if is_float else weight
