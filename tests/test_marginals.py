import numpy as np
import tensorflow_probability as tfp
from keras import ops

from echo_tf import StandardNormal


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
