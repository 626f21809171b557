import numpy as np
import tensorflow_probability as tfp
from keras import ops

from echo_tf import Bernoulli


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


def test_certain_and_wrong_stays_finite():
    found = Bernoulli(dtype="float64")(np.ones((1, 1)), ops.convert_to_tensor([[-300.0]]))
    np.testing.assert_allclose(ops.convert_to_numpy(found), [300.0])
