import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from keras import ops

from echo_tf import AutoregressiveFlow, FlowMarginal
from echo_tf.flows import AutoregressiveNetwork

tfd = tfp.distributions
D = 5
FLOWS = [{"mean_only": mean_only, "num_steps": steps} for mean_only in (True, False) for steps in (1, 3)]
every_flow = pytest.mark.parametrize(
    "settings", FLOWS, ids=lambda s: f"{'mean' if s['mean_only'] else 'affine'}{s['num_steps']}"
)


def lively(layer, shape=(None, D)):
    """The layer with weights large enough that nothing is nearly the identity."""
    layer.build(shape)
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(size=w.shape, scale=0.4) for w in layer.get_weights()])
    return layer


def codes(n=7):
    return np.random.default_rng(1).normal(size=(n, D))


def test_outputs_depend_on_the_dimensions_before_them_and_on_no_other():
    network = lively(AutoregressiveNetwork((24, 24), outputs_per_dimension=2, activation="tanh", dtype="float64"))
    with tf.GradientTape() as tape:
        y = tf.constant(codes())
        tape.watch(y)
        outputs = network(y)
    jacobian = tape.batch_jacobian(outputs, y).numpy()  # (B, output dimension, which, input dimension)
    for which in range(2):
        depends = np.abs(jacobian[:, :, which]).max(0) > 1e-12
        np.testing.assert_array_equal(depends, np.tril(np.ones((D, D), bool), -1))


@every_flow
def test_log_determinant_is_that_of_the_jacobian(settings):
    flow = lively(AutoregressiveFlow(hidden_units=(16, 16), dtype="float64", **settings))
    with tf.GradientTape() as tape:
        y = tf.constant(codes())
        tape.watch(y)
        u, log_det = flow.inverse(y)
    expected = np.linalg.slogdet(tape.batch_jacobian(u, y).numpy())[1]
    np.testing.assert_allclose(log_det, expected, atol=1e-10)
    assert np.all(log_det == 0) if settings["mean_only"] else np.abs(log_det).max() > 0.1


@every_flow
def test_forward_undoes_inverse(settings):
    flow = lively(AutoregressiveFlow(hidden_units=(16, 16), dtype="float64", **settings))
    np.testing.assert_allclose(flow.forward(flow.inverse(codes())[0]), codes(), atol=1e-8)


def test_one_step_is_the_product_of_its_conditional_densities():
    marginal = lively(FlowMarginal(1, (16,), mean_only=False, dtype="float64"))
    (w1, w2, b1, b2), z = marginal.get_weights(), codes()
    w1, w2 = (w * mask for w, mask in zip((w1, w2), marginal.flow._networks[0]._masks))
    outputs = (np.maximum(z @ w1 + b1, 0) @ w2 + b2).reshape(-1, D, 2)
    log_scale = 3 * np.tanh(outputs[..., 1] / 3)
    assert np.abs(log_scale - outputs[..., 1]).max() > 1e-3
    expected = tfd.Normal(outputs[..., 0], np.exp(log_scale)).log_prob(z).numpy().sum(1)
    np.testing.assert_allclose(marginal.log_prob(z), expected, rtol=1e-10)


def test_a_density_whose_scales_are_bounded_integrates_to_1_and_is_never_narrower():
    marginal = FlowMarginal(1, (8,), mean_only=False, dtype="float64")
    marginal.build((None, 2))
    for weights in marginal.trainable_variables[1:]:  # log scales far beyond the bound, shifts of 0
        weights.assign(np.zeros(weights.shape))
    marginal.trainable_variables[3].assign([0.0, -40.0, 0.0, 1.0])
    x, y = np.linspace(-0.4, 0.4, 1601), np.linspace(-30, 30, 601)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(np.asarray(marginal.log_prob(grid)))
    assert density.sum() * (x[1] - x[0]) * (y[1] - y[0]) == pytest.approx(1, abs=1e-3)
    narrow, wide = np.exp(-3), np.exp(3 * np.tanh(1 / 3))
    assert density.max() == pytest.approx(1 / (2 * np.pi * narrow * wide), rel=1e-6)


def test_a_large_step_leaves_a_loss_that_is_finite_and_falls():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2,))
    model = keras.Model(inputs, NegativeLogDensity(FlowMarginal(2, (32, 32), mean_only=False))(inputs))
    model.compile(keras.optimizers.Adam(0.05), loss=lambda _, y: ops.mean(y))
    losses = model.fit(bent(2000), np.zeros(2000), batch_size=100, epochs=4, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < 3 and max(losses) < 1e4


@every_flow
def test_density_is_that_of_tfp_s_transformed_distribution(settings):
    marginal = lively(FlowMarginal(hidden_units=(16, 16), dtype="float64", **settings))
    base = tfd.MultivariateNormalDiag(np.zeros(D), np.ones(D))
    expected = tfd.TransformedDistribution(base, marginal.flow._bijector()).log_prob(codes())
    np.testing.assert_allclose(marginal.log_prob(codes()), expected, rtol=1e-8)


def test_samples_follow_the_density():
    marginal = lively(FlowMarginal(2, (16, 16), seed=0))
    base = ops.convert_to_numpy(marginal.flow.inverse(marginal.sample(4000))[0])
    np.testing.assert_allclose(base.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(np.cov(base.T), np.eye(D), atol=0.12)


def test_a_step_has_the_parameters_that_table_1_counts():
    flow = AutoregressiveFlow(1)
    flow.build((None, 32))
    assert flow.count_params() == 862_112


def bent(n):
    """A two-dimensional source with z_2 = z_1^2 + noise: entropy in closed form, and no Gaussian fits it."""
    a, b = np.random.default_rng(3).normal(size=(2, n, 1))
    return np.concatenate([a, a**2 + 0.3 * b], axis=1).astype("float32")


@pytest.mark.parametrize("trained", [True, False])
def test_it_learns_a_density_under_fit_and_only_if_trained(trained):
    keras.utils.set_random_seed(0)
    marginal = FlowMarginal(2, (32, 32), mean_only=False, trained=trained)
    inputs = keras.Input((2,))
    model = keras.Model(inputs, NegativeLogDensity(marginal)(inputs))
    model.compile(keras.optimizers.Adam(5e-3), loss=lambda _, y: ops.mean(y))
    if not trained:
        assert marginal.trainable_variables == [] and len(marginal.non_trainable_variables) >= 8
        return
    model.fit(bent(4000), np.zeros(4000), batch_size=100, epochs=12, verbose=0)
    test = bent(8000)[4000:]
    entropy = np.log(2 * np.pi * np.e) + np.log(0.3)
    best_gaussian = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(test.T))[1]
    reached = float(ops.mean(-marginal.log_prob(test)))
    assert entropy - 0.1 < reached < entropy + 0.15 < best_gaussian - 0.5


class NegativeLogDensity(keras.layers.Layer):
    def __init__(self, marginal):
        super().__init__()
        self.marginal = marginal

    def build(self, input_shape):
        self.marginal.build(input_shape)

    def call(self, z):
        return -self.marginal.log_prob(z)

    def compute_output_shape(self, input_shape):
        return input_shape[:1]


@pytest.mark.parametrize("wrong", [{"num_steps": 0}, {"shape": (None, 2, 3)}])
def test_bad_arguments_are_refused(wrong):
    shape = wrong.pop("shape", (None, D))
    with pytest.raises(ValueError, match="num_steps must be|shape \\(B, d\\)"):
        AutoregressiveFlow(**wrong).build(shape)
