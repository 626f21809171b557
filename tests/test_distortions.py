import keras
import numpy as np
import pytest
import tensorflow_probability as tfp
from keras import ops

from echo_tf import Bernoulli, CallableDistortion, Gaussian, GaussianSample, SquaredError
from tests.small_models import autoencoder, bars


def test_bernoulli_nats_are_minus_the_log_likelihood_of_tfp():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 4, 1)) * 3
    x = (rng.random((3, 4, 4, 1)) > 0.5).astype(float)
    expected = -tfp.distributions.Bernoulli(logits=logits).log_prob(x).numpy().sum((1, 2, 3))
    found = ops.convert_to_numpy(Bernoulli(dtype="float64")(x, ops.convert_to_tensor(logits)))
    np.testing.assert_allclose(found, expected)


def test_bernoulli_nats_of_grey_levels_are_the_cross_entropy():
    x, p = np.full((1, 1, 1, 1), 0.3), 0.8
    found = Bernoulli(dtype="float64")(x, ops.convert_to_tensor(np.full((1, 1, 1, 1), np.log(p / (1 - p)))))
    np.testing.assert_allclose(ops.convert_to_numpy(found), [-0.3 * np.log(p) - 0.7 * np.log(1 - p)])


def test_probabilities_are_the_cross_entropy_of_their_logits_and_reconstruct_themselves():
    x, p = np.random.default_rng(0).uniform(0.05, 0.95, size=(2, 4, 3))
    logits, probabilities = Bernoulli(dtype="float64"), Bernoulli(from_logits=False, dtype="float64")
    found = ops.convert_to_numpy(probabilities(x, ops.convert_to_tensor(p)))
    np.testing.assert_allclose(found, ops.convert_to_numpy(logits(x, ops.convert_to_tensor(np.log(p / (1 - p))))))
    np.testing.assert_array_equal(probabilities.reconstruct(p), p)
    np.testing.assert_allclose(logits.reconstruct(np.log(p / (1 - p))), p)


def test_probabilities_of_0_and_1_are_rounded_to_a_ten_millionth():
    found = ops.convert_to_numpy(
        Bernoulli(from_logits=False, dtype="float64")(np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]]))
    )
    np.testing.assert_allclose(found, -np.log(1e-7), rtol=1e-6)


def test_certain_and_wrong_stays_finite():
    found = Bernoulli(dtype="float64")(np.ones((1, 1)), ops.convert_to_tensor([[-300.0]]))
    np.testing.assert_allclose(ops.convert_to_numpy(found), [300.0])


@keras.saving.register_keras_serializable(package="test")
def absolute_error(x, output):
    return ops.sum(ops.abs(x - output), axis=1)


def test_gaussian_nats_are_minus_the_log_density_of_tfp():
    x, output = np.random.default_rng(0).normal(size=(2, 5, 3, 3, 2))
    for layer, variance in ((Gaussian(0.3, dtype="float64"), 0.3), (Gaussian(start=0.2, dtype="float64"), 0.2)):
        expected = -tfp.distributions.Normal(output, np.sqrt(variance)).log_prob(x).numpy().sum((1, 2, 3))
        np.testing.assert_allclose(ops.convert_to_numpy(layer(x, output)), expected, rtol=1e-6)


def test_squared_error_has_the_gradient_of_a_gaussian_of_variance_one_half():
    x, output = np.random.default_rng(0).normal(size=(2, 5, 4))
    squared = ops.convert_to_numpy(SquaredError(dtype="float64")(x, output))
    np.testing.assert_allclose(squared, np.sum((x - output) ** 2, axis=1))
    gaussian = ops.convert_to_numpy(Gaussian(0.5, dtype="float64")(x, output))
    np.testing.assert_allclose(np.diff(gaussian), np.diff(squared), rtol=1e-6)


def test_a_learned_variance_finds_the_mean_squared_error():
    noise = np.random.default_rng(0).normal(0, 0.3, (64, 10)).astype("float32")
    layer = Gaussian()
    optimizer = keras.optimizers.Adam(0.05)
    x = keras.Input((10,))
    model = keras.Model(x, layer(x, ops.zeros_like(x)))
    model.compile(optimizer, loss=lambda y, nats: ops.mean(nats))
    model.fit(noise, noise[:, 0], batch_size=64, epochs=200, verbose=0)
    assert float(ops.exp(layer.log_variance)) == pytest.approx(np.mean(noise**2), rel=0.02)


@pytest.mark.parametrize(
    ("distortion", "unit", "is_likelihood"),
    [
        ("bernoulli", "nats", True),
        ("gaussian", "nats", True),
        (Gaussian(0.1), "nats", True),
        ("squared_error", "squared error", False),
        (absolute_error, "absolute_error", False),
        (CallableDistortion(absolute_error, unit="grey levels"), "grey levels", False),
    ],
)
def test_each_trains_says_what_it_is_and_is_saved(distortion, unit, is_likelihood, tmp_path):
    model = autoencoder(GaussianSample(seed=0), distortion=distortion)
    measure = model.measure_of_distortion
    assert (measure.unit, measure.is_likelihood) == (unit, is_likelihood)
    history = model.fit(bars(), batch_size=10, epochs=15, verbose=0).history
    assert set(history) == {"rate", "distortion", "loss"} | ({"neg_elbo"} if is_likelihood else set())
    assert history["loss"][-1] < history["loss"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.measure_of_distortion.unit, loaded.measure_of_distortion.is_likelihood) == (unit, is_likelihood)
    for mine, theirs in zip(model.get_weights(), loaded.get_weights()):
        np.testing.assert_array_equal(mine, theirs)
    assert model.reconstruct(bars(), num_samples=0).shape == (40, 12)


def test_a_function_that_gives_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"one number an example, \(B,\)"):
        autoencoder(distortion=lambda x, output: x - output)(bars())


@pytest.mark.parametrize("arguments", [{"variance": 0.0}, {"variance": -1.0}, {"start": 0.0}])
def test_a_variance_that_is_none_is_refused(arguments):
    with pytest.raises(ValueError, match="positive"):
        Gaussian(**arguments)
