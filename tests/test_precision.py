"""Networks of half precision, and what is measured of them in float32."""

import keras
import numpy as np
import pytest

from echo_tf import Gaussian, GaussianSample, RateDistortionAutoencoder, disentangle, isometry
from echo_tf.analysis import analyse
from echo_tf.evaluation import log_likelihood
from echo_tf.precision import computes_in_half, in_float32, in_precision, without_tensor_float_32
from tests.small_models import autoencoder, bars

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


def under(policy, name, make):
    """What `make` makes under a policy; the policy is float32 again afterwards."""
    policy(name)
    made = make()
    policy("float32")
    return made


def linear():
    """A linear VAE of three latent dimensions, with weights that half precision rounds."""
    keras.utils.set_random_seed(0)
    x, z = keras.Input((7,)), keras.Input((3,))
    encoder = keras.Model(
        x, [keras.layers.Dense(3)(x), keras.layers.Dense(3, bias_initializer=keras.initializers.Constant(-2))(x)]
    )
    decoder = keras.Model(z, keras.layers.Dense(7)(z))
    return RateDistortionAutoencoder(encoder, GaussianSample(seed=0), decoder, distortion="squared_error", beta=0.1)


@pytest.mark.parametrize("name", POLICIES)
def test_the_derivatives_of_a_network_in_half_precision_are_those_of_its_weights(policy, name):
    model, x = under(policy, name, linear), np.random.default_rng(1).normal(size=(30, 7))
    kernel = np.asarray(model.decoder.get_weights()[0], np.float64)
    table = isometry.analyse(model, x).sort_values("latent")
    np.testing.assert_allclose(table["derivative"], (kernel**2).sum(axis=1), rtol=1e-3)
    np.testing.assert_allclose(table["derivative_jvp"], (kernel**2).sum(axis=1), rtol=1e-5)
    copy = isometry.analyse(in_float32(model), x).sort_values("latent")
    np.testing.assert_allclose(table["norm"], copy["norm"], rtol=1e-5)


def test_echo_s_analyses_of_a_network_in_half_precision_are_those_of_float32(policy):
    model, x = under(policy, "mixed_bfloat16", lambda: autoencoder(compiled=False)), bars(40)
    copy = in_float32(model)
    loc, log_sigmoid = copy.encode(x)
    table = isometry.analyse_echo(model, x).sort_values("latent")
    rates = -(log_sigmoid - model.channel.rate_floor / 3).mean(axis=0)
    np.testing.assert_allclose(table["kl_nats"], rates, rtol=1e-6)
    found = analyse(model, x, samples_per_image=2, noise_batches=20, batch_size=20)
    np.testing.assert_allclose(found["dimension_rate_nats"], rates, rtol=1e-5)
    np.testing.assert_allclose(np.sort(found["loc_norm"]), np.sort(np.linalg.norm(loc, axis=1)), rtol=1e-6)
    np.testing.assert_array_equal(disentangle.representation(model)(x), loc)


def test_traversals_and_analyses_of_a_double_network_work_as_those_of_a_single_one(policy):
    model, x = under(policy, "float64", linear), np.random.default_rng(1).normal(size=(30, 7))
    kernel = model.decoder.get_weights()[0]
    assert in_float32(model) is model and kernel.dtype == "float64"
    table = isometry.analyse(model, x).sort_values("latent")
    np.testing.assert_allclose(table["derivative_jvp"], (kernel**2).sum(axis=1), rtol=1e-6)
    half = under(policy, "mixed_bfloat16", linear)
    shown = [isometry.traversals(one, x, [0, 2]) for one in (half, in_float32(half))]
    np.testing.assert_array_equal(*shown)


def test_the_likelihood_of_a_network_in_half_precision_is_that_of_its_weights(policy):
    """A decoder that says 1/3 whatever the code, under an encoder that is the prior: every weight is N(x; 1/3, v)."""

    def make():
        x, z = keras.Input((5,)), keras.Input((2,))
        encoder = keras.Model(x, [keras.layers.Dense(2, kernel_initializer="zeros")(x) for _ in range(2)])
        head = keras.layers.Dense(5, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(1 / 3))
        return RateDistortionAutoencoder(encoder, GaussianSample(seed=0), keras.Model(z, head(z)), distortion=Gaussian(1e-6))

    x = (1 / 3 + 1e-3 * np.random.default_rng(0).normal(size=(6, 5))).astype(np.float32)
    found = log_likelihood(under(policy, "mixed_bfloat16", make), x, 20, progress=False)["neg_log_likelihood_nats"]["mean"]
    exact = 0.5 * ((x - 1 / 3) ** 2 / 1e-6 + np.log(2e-6 * np.pi)).sum(axis=1).mean()
    assert found == pytest.approx(exact, rel=1e-3)
