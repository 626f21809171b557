"""The density-ratio discriminator and the penalty made of it: against automatic gradients, closed forms and numpy's Adam."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import echo_tf
from echo_tf import TotalCorrelation
from echo_tf.discriminator import Discriminator
from echo_tf.optimizers import FusedAdam
from tests.small_models import autoencoder, bars


def correlated(n, rho=0.8, seed=0):
    x, noise = np.random.default_rng(seed).normal(size=(2, n))
    return np.stack([x, rho * x + np.sqrt(1 - rho**2) * noise], axis=1).astype("float32")


def test_the_gradient_written_out_is_the_automatic_one():
    codes, permuted = np.random.default_rng(0).normal(size=(2, 12, 3)).astype("float32")
    network = Discriminator((7, 5), seed=0)
    network.build((None, 3))
    assert network.count_params() == 3 * 7 + 7 + 7 * 5 + 5 + 5 * 2 + 2
    with tf.GradientTape() as tape:
        tape.watch([variable.value for variable in network.parameters])
        loss = network.loss(codes, permuted)
    expected = tape.gradient(loss, [variable.value for variable in network.parameters])
    for mine, right in zip(network.gradients(network.layers_of(codes), network.layers_of(permuted)), expected):
        np.testing.assert_allclose(mine, right, atol=1e-6)
        assert np.abs(right).max() > 1e-4


def test_its_layers_are_those_of_the_papers():
    network = Discriminator((1,))
    network.build((None, 1))
    for variable, value in zip(network.parameters, ([[1.0]], [0.5], [[1.0, -1.0]], [0.0, 0.25])):
        variable.assign(value)
    below, above = network.layers_of(np.array([[-1.0]], "float32")), network.layers_of(np.array([[1.0]], "float32"))
    np.testing.assert_allclose(below[-1], [[-0.1, 0.35]], rtol=1e-6)  # a leaky ReLU of slope 0.2
    np.testing.assert_allclose(above[-1], [[1.5, -1.25]], rtol=1e-6)
    ratio = TotalCorrelation(2.0, units=(1,))
    ratio.build((1, 1))
    for variable, value in zip(ratio.discriminator.parameters, network.parameters):
        variable.assign(value)
    assert float(ratio(np.array([[1.0]], "float32"))) == pytest.approx(2.0 * 2.75)


def test_its_steps_are_adam_s():
    codes, permuted = np.random.default_rng(0).normal(size=(2, 12, 3)).astype("float32")
    network, other = Discriminator((4,), seed=0), Discriminator((4,), seed=0)
    for one in (network, other):
        one.build((None, 3))
    adam = keras.optimizers.Adam(1e-4, beta_1=0.5, beta_2=0.9, epsilon=1e-8)
    for _ in range(3):
        layers = network.layers_of(codes), network.layers_of(permuted)
        adam.apply(other.gradients(*(other.layers_of(x) for x in (codes, permuted))), other.parameters)
        network.learn(*layers)
    for mine, right in zip(network.parameters, other.parameters):
        np.testing.assert_allclose(mine, right, atol=1e-7)


def test_it_finds_the_total_correlation_of_a_correlated_gaussian():
    """-1/2 log(1 - rho^2) = 0.511 nats."""
    penalty = TotalCorrelation(1.0, units=(64, 64), learning_rate=2e-3, beta_1=0.9, beta_2=0.999, seed=0)
    step = tf.function(lambda codes: penalty(codes, training=True))
    codes = correlated(100_000)
    for start in range(0, 100_000, 250):
        step(codes[start : start + 250])
    found = float(penalty(correlated(20_000, seed=1)))
    assert found == pytest.approx(-0.5 * np.log(1 - 0.8**2), abs=0.06)
    independent = np.random.default_rng(2).permuted(codes[:20_000], axis=0)
    assert float(penalty(independent)) < found - 0.3


@pytest.mark.parametrize("permuted", ["distinct", "independent"])
def test_permuted_codes_keep_each_dimension_s_values_and_distinct_ones_mix_no_example_with_itself(permuted):
    penalty = TotalCorrelation(1.0, units=(4,), permuted=permuted, seed=0)
    codes = np.arange(20, dtype="float32")[:, None] + np.array([0, 100, 200], "float32")
    penalty.build((20, 3))
    draws = [np.asarray(penalty._permutation(codes)) - np.array([0, 100, 200]) for _ in range(20)]
    assert all(sorted(column) == list(range(20)) for found in draws for column in found.T)
    assert not np.array_equal(draws[0], draws[1])
    twice = np.mean([len(set(row)) < 3 for found in draws for row in found])
    assert twice == 0 if permuted == "distinct" else 0.05 < twice < 0.25  # 1 - 19/20 * 18/20 = 0.145


def trained(weight, steps=1, **more):
    keras.utils.set_random_seed(0)
    penalty = TotalCorrelation(weight, units=(8,), seed=0, **more)
    model = autoencoder(echo_tf.GaussianSample(seed=0), compiled=False, penalties=[penalty])
    model.compile(FusedAdam(1e-3))
    before = [np.array(w) for w in penalty.discriminator.parameters]
    history = model.fit(bars(40), batch_size=20, epochs=steps, verbose=0, shuffle=False).history
    return model, penalty, before, history


def test_the_encoder_learns_by_the_penalty_alone_and_the_discriminator_by_its_own_loss_alone():
    weak, strong = trained(1e-6), trained(1e3)
    kernels = [model.encoder.get_weights() for model, *_ in (weak, strong)]
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(*kernels)), "no gradient of the penalty reached the encoder"
    for model, penalty, before, history in (weak, strong):
        names = [id(variable) for variable in model.trainable_variables]
        assert not any(id(variable) in names for variable in penalty.discriminator.parameters)
        assert max(np.abs(np.array(a) - b).max() for a, b in zip(penalty.discriminator.parameters, before)) > 1e-5
        assert "total_correlation" in history
    # the first step sees the same codes whatever the weight: the discriminator does not know of it
    one = [trained(weight)[1] for weight in (1e-6, 1e3)]
    penalty, code = one[0], tf.constant(correlated(8)[:, [0, 1, 0]])
    with tf.GradientTape() as tape:
        tape.watch(code)
        value = penalty(code, training=True)
    assert tf.reduce_max(tf.abs(tape.gradient(value, code))) > 0


def test_the_gradient_of_the_codes_is_not_that_of_the_discriminator_s_loss():
    penalty = TotalCorrelation(2.0, units=(6,), seed=0)
    code = tf.constant(correlated(10))
    penalty.build((10, 2))
    with tf.GradientTape() as tape:
        tape.watch(code)
        layers = penalty.discriminator.layers_of(code)
        expected = 2.0 * tf.reduce_mean(layers[-1][:, 0] - layers[-1][:, 1])
    expected = tape.gradient(expected, code)
    with tf.GradientTape() as tape:
        tape.watch(code)
        value = penalty(code, training=True)
    np.testing.assert_allclose(tape.gradient(value, code), expected, atol=1e-7)


def test_only_training_teaches_it_and_it_is_saved_with_the_model(tmp_path):
    model, penalty, *_ = trained(3.0)
    state = [np.array(v) for v in penalty.variables]
    model.evaluate(bars(40), batch_size=20, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(state, penalty.variables) if "seed" not in b.name)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.penalties[0].weight == 3.0 and int(again.penalties[0].discriminator.steps) == 2
    for a, b in zip(penalty.discriminator.variables, again.penalties[0].discriminator.variables):
        np.testing.assert_array_equal(a, b)
    assert model.count_params() == sum(p.count_params() for p in (model.encoder, model.decoder)) + penalty.count_params()


def test_the_papers_discriminator_has_five_million_parameters():
    penalty = TotalCorrelation(20.0)
    penalty.build((64, 10))
    assert penalty.count_params() == 5_018_002


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weight": -1.0}, "0 or more"),
        ({"weight": float("nan")}, "0 or more"),
        ({"weight": 1.0, "permuted": "always"}, "one of"),
    ],
)
def test_bad_arguments_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        TotalCorrelation(**wrong).build((10, 3))


@pytest.mark.parametrize(("permuted", "number"), [("distinct", 2), ("independent", 1)])
def test_a_batch_too_small_to_permute_is_refused_in_one_line(permuted, number):
    with pytest.raises(ValueError, match=r"needs \d examples or more"):
        TotalCorrelation(1.0, units=(4,), permuted=permuted)(np.zeros((number, 3), "float32"), training=True)
