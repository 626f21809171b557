"""Networks of half precision, and what is measured of them in float32."""

import keras
import numpy as np
import pytest

from echo_tf.precision import computes_in_half, in_float32, in_precision, without_tensor_float_32
from tests.small_models import autoencoder

POLICIES = ("bfloat16", "mixed_bfloat16", "mixed_float16")


@pytest.fixture
def policy():
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def convolutional():
    x = keras.Input((8, 8, 1))
    h = keras.layers.BatchNormalization()(keras.layers.Conv2D(3, 3, activation="relu")(x))
    h = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(5, "tanh")])(h)
    return keras.Model(x, keras.layers.LayerNormalization()(h))


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("wanted", ["float32", "float64"])
def test_a_network_made_again_in_another_precision_has_its_weights_and_computes_in_it_throughout(policy, name, wanted):
    policy(name)
    original = convolutional()
    assert computes_in_half(original)
    made = in_precision(original, wanted)
    assert {layer.compute_dtype for layer in made._flatten_layers()} == {wanted}
    for one, other in zip(original.get_weights(), made.get_weights()):
        assert other.dtype == wanted
        np.testing.assert_array_equal(np.asarray(one, wanted), other)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1))
    found = np.asarray(made(x))
    assert found.dtype == wanted and not computes_in_half(made)
    np.testing.assert_allclose(found, np.asarray(original(x), wanted), atol=0.1)
    assert keras.config.dtype_policy().name == name  # is as it was


def test_a_network_that_cannot_be_made_again_is_refused_in_one_line():
    class Odd(keras.layers.Layer):
        def __init__(self, table):
            super().__init__()

    with pytest.raises(ValueError, match="odd cannot be made again in float64 .*: give it in float64 itself") as caught:
        in_precision(Odd(object()), "float64")
    assert "\n" not in str(caught.value)


def test_an_autoencoder_without_half_precision_stays_the_same_object():
    model = autoencoder(compiled=False)
    assert in_float32(model) is model


def test_a_gpu_rounds_no_factors_while_something_is_measured():
    experimental = pytest.importorskip("tensorflow").config.experimental
    before = experimental.tensor_float_32_execution_enabled()
    with without_tensor_float_32():
        assert not experimental.tensor_float_32_execution_enabled()
    assert experimental.tensor_float_32_execution_enabled() == before
