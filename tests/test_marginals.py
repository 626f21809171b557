import keras
import numpy as np
import pytest
import tensorflow_probability as tfp
from keras import ops

from echo_tf import StandardNormal, VampPrior
from echo_tf.marginals import GaussianMixture, UnitInterval

tfd = tfp.distributions


def test_log_density_is_that_of_tfp():
    z = np.random.default_rng(0).normal(size=(6, 2, 3))
    expected = tfp.distributions.Normal(0.0, 1.0).log_prob(z.astype("float32")).numpy().sum((1, 2))
    np.testing.assert_allclose(ops.convert_to_numpy(StandardNormal()(z)), expected, rtol=1e-5)


def test_samples_are_standard_normal():
    marginal = StandardNormal(seed=0)
    marginal.build((None, 2, 3))
    z = ops.convert_to_numpy(marginal.sample(20_000))
    assert z.shape == (20_000, 2, 3)
    np.testing.assert_allclose(z.mean(0), 0, atol=0.04)
    np.testing.assert_allclose(z.std(0), 1, atol=0.03)


@pytest.fixture
def mixture():
    rng = np.random.default_rng(0)
    loc, log_scale = rng.normal(size=(2, 7, 3))
    return 3 * loc, 0.5 * log_scale


def test_a_mixture_over_codes_with_axes_is_that_over_their_elements(mixture):
    z = np.random.default_rng(1).normal(size=(20, 6))
    loc, log_scale = (np.repeat(x, 2, axis=1) for x in mixture)
    flat = GaussianMixture(*map(ops.convert_to_tensor, (loc, log_scale)), "mixture", None).log_prob(ops.convert_to_tensor(z))
    shaped = [ops.convert_to_tensor(x.reshape(-1, 2, 1, 3)) for x in (loc, log_scale, z)]
    found = GaussianMixture(*shaped[:2], "mixture", None).log_prob(shaped[2])
    np.testing.assert_allclose(ops.convert_to_numpy(found), ops.convert_to_numpy(flat), rtol=1e-6)


def test_mixture_density_is_that_of_tfp(mixture):
    loc, log_scale = mixture
    z = np.random.default_rng(1).normal(size=(20, 3), scale=4)
    each = tfd.MultivariateNormalDiag(loc, np.exp(log_scale))
    expected = tfd.MixtureSameFamily(tfd.Categorical(logits=np.zeros(7)), each).log_prob(z)
    found = GaussianMixture(*map(ops.convert_to_tensor, mixture), "mixture", None).log_prob(ops.convert_to_tensor(z))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    released = GaussianMixture(*map(ops.convert_to_tensor, mixture), "mean_of_logs", None).log_prob(ops.convert_to_tensor(z))
    np.testing.assert_allclose(released, each.log_prob(z[:, None]).numpy().mean(1), rtol=1e-10)
    assert np.all(released < found)  # Jensen


def test_mixture_samples_have_its_moments(mixture):
    loc, log_scale = mixture
    seeds = keras.random.SeedGenerator(0)
    z = ops.convert_to_numpy(GaussianMixture(*map(ops.convert_to_tensor, mixture), "mixture", seeds).sample(40_000))
    np.testing.assert_allclose(z.mean(0), loc.mean(0), atol=0.1)
    np.testing.assert_allclose(z.var(0), loc.var(0) + np.exp(2 * log_scale).mean(0), rtol=0.05)


def test_pseudo_inputs_start_at_distinct_images_or_all_at_the_mean():
    images = np.random.default_rng(0).random((50, 4, 4, 1)).astype("float32")
    true, released = VampPrior(20, seed=0), VampPrior(20, start="mean_image", seed=0)
    for prior in (true, released):
        prior.build((None, 4, 4, 1))
        prior.start_from(images)
    started = ops.convert_to_numpy(true.pseudo_inputs)
    rows = [int(np.flatnonzero((images == u).all((1, 2, 3)))[0]) for u in started]
    assert len(set(rows)) == 20
    np.testing.assert_allclose(ops.convert_to_numpy(released.pseudo_inputs), np.tile(images.mean(0), (20, 1, 1, 1)), rtol=1e-6)
    with pytest.raises(ValueError, match="20 pseudo-inputs need as many training examples, got 5"):
        true.start_from(images[:5])


def test_pseudo_inputs_are_kept_within_0_and_1():
    np.testing.assert_allclose(UnitInterval()(ops.convert_to_tensor([-0.5, 0.25, 1.5])), [0.0, 0.25, 1.0])


@pytest.mark.parametrize("wrong", [{"num_pseudo_inputs": 0}, {"density": "sum"}, {"start": "zeros"}])
def test_bad_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        VampPrior(**wrong)
