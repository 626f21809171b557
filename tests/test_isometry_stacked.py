"""Stacked training: the same numbers as a training alone by Keras, in a group of any size, in one process or several."""

import keras
import numpy as np
import pytest

from echo_tf import GaussianSample
from echo_tf.isometry import StackedAutoencoders, WeightedSquaredError, source_of
from echo_tf.isometry.group import arrays_of, state_of
from echo_tf.isometry.stacked import Member, Recipe, _draws, advance, first_state, network_of
from echo_tf.isometry.workers import shares, training
from models import nakagawa2021

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="stacked training is TensorFlow's")
MEMBERS = [Member(5.0), Member(100.0, "down", 3), Member(20.0, "up")]
RECIPE = Recipe(batch_size=16, learning_rate=3e-3, averaging=0.9)


@pytest.fixture(scope="module")
def parts():
    shape = {"image_shape": (16,), "form": "toy", "width": 0.1}
    encoder = nakagawa2021.encoder(3, GaussianSample.head_activations, **shape)
    return encoder, nakagawa2021.decoder(3, **shape)


@pytest.fixture(scope="module")
def points():
    source = source_of("mix")
    return source.embed(source.sample(56)).astype(np.float32)  # three batches of 16 and one of 8


def trained(parts, points, members, epochs=3, **recipe):
    network = network_of(*parts)
    state = first_state(network, members)
    return advance(network, RECIPE._replace(**recipe), members, points, state, 0, epochs)


def by_keras(parts, points, member, epochs=3, reduction="sum"):
    """The same training alone, with Keras's layers, loss, Adam and average of weights."""
    import tensorflow as tf

    encoder, decoder = (keras.models.clone_model(part) for part in parts)
    start = [w[0] for w in first_state(network_of(encoder, decoder), [member]).weights]
    encoder.set_weights(start[: len(encoder.weights)])
    decoder.set_weights(start[len(encoder.weights) :])
    variables = [*encoder.trainable_variables, *decoder.trainable_variables]
    adam = keras.optimizers.Adam(RECIPE.learning_rate, use_ema=True, ema_momentum=RECIPE.averaging)
    measure = WeightedSquaredError(member.loss, reduction)
    for epoch in range(epochs):
        rows, noise = _draws([member], len(points), RECIPE.batch_size, 3, epoch)
        for step in range(len(rows)):
            number = min(RECIPE.batch_size, len(points) - step * RECIPE.batch_size)
            x, eps = points[rows[step, 0, :number]], noise[step, 0, :number]
            with tf.GradientTape() as tape:
                loc, log_scale = encoder(x)
                z = loc + tf.exp(log_scale) * eps
                rate = tf.reduce_sum(0.5 * (loc**2 + tf.exp(2 * log_scale) - 1) - log_scale, -1)
                loss = tf.reduce_mean(member.multiplier * measure(x, decoder(z)) + rate)
            adam.apply(tape.gradient(loss, variables), variables)
    averages = [np.array(average) for average in adam._model_variables_moving_average]
    return [np.array(v) for v in variables], averages


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_stacked_run_ends_where_it_ends_alone_with_keras(parts, points, number, reduction):
    state, _ = trained(parts, points, MEMBERS, reduction=reduction)
    weights, averages = by_keras(parts, points, MEMBERS[number], reduction=reduction)
    for ours, keras_own in ((state.weights, weights), (state.averages, averages)):
        for a, b in zip(ours, keras_own):
            np.testing.assert_allclose(a[number], b, rtol=2e-4, atol=2e-5)
    moved = max(np.abs(a[number] - w[number]).max() for a, w in zip(state.averages, state.weights))
    assert moved > 1e-3  # that the average is none of the last step


def test_a_run_does_not_depend_on_the_others_of_its_group(parts, points):
    together, means = trained(parts, points, MEMBERS)
    for number, member in enumerate(MEMBERS):
        alone, mean = trained(parts, points, [member])
        np.testing.assert_allclose(mean[:, 0], means[:, number], rtol=1e-4)
        for a, b in zip(alone.weights, together.weights):
            np.testing.assert_allclose(a[0], b[number], rtol=1e-4, atol=1e-5)


def test_a_training_continued_from_its_arrays_ends_with_the_same_bits(parts, points):
    network, whole = network_of(*parts), trained(parts, points, MEMBERS, epochs=4)[0]
    half, _ = trained(parts, points, MEMBERS, epochs=2)
    again = state_of(arrays_of(half), MEMBERS)
    rest, _ = advance(network, RECIPE, MEMBERS, points, again, 2, 2)
    for a, b in zip(arrays_of(whole).values(), arrays_of(rest).values()):
        np.testing.assert_array_equal(a, b)


def test_two_processes_give_what_one_gives(parts, points):
    network = network_of(*parts)
    with training(MEMBERS, shares(len(MEMBERS), 2)) as divided:
        state, means = divided(network, RECIPE, points, first_state(network, MEMBERS), 0, 3)
    alone, alone_means = trained(parts, points, MEMBERS)
    np.testing.assert_allclose(means, alone_means, rtol=1e-4)
    for a, b in zip(state.averages, alone.averages):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_training_lowers_the_objective(parts, points):
    _, means = trained(parts, points, MEMBERS, epochs=30)
    objective = means.sum(-1)
    assert (objective[-1] < 0.7 * objective[0]).all()


def test_a_group_is_saved_whole_and_gives_each_autoencoder_with_its_own_beta(parts, points, tmp_path):
    state, _ = trained(parts, points, MEMBERS)
    group = StackedAutoencoders(*parts, MEMBERS)
    group.take(state)
    group.save(tmp_path / "group.keras")
    loaded = keras.saving.load_model(tmp_path / "group.keras", compile=False)
    for number, member in enumerate(MEMBERS):
        one = loaded.autoencoder(number)
        assert float(one.beta) == pytest.approx(1 / member.multiplier) and one.measure_of_distortion.loss == member.loss
        np.testing.assert_array_equal(one.encoder.get_weights()[0], state.averages[0][number])
        last = loaded.autoencoder(number, averaged=False)
        np.testing.assert_array_equal(last.decoder.get_weights()[-1], state.weights[-1][number])
        np.testing.assert_allclose(loaded(points)[number], one.decoder(one.encoder(points)[0]), rtol=1e-5, atol=1e-6)


def test_what_is_no_chain_of_dense_layers_is_refused(parts):
    x = keras.Input((4, 4, 1))
    convolution = keras.Model(x, keras.layers.Conv2D(2, 3)(x))
    with pytest.raises(ValueError, match="only chains of dense layers"):
        network_of(convolution, parts[1])
    with pytest.raises(ValueError, match="not those of 2 stacked runs"):
        state_of(arrays_of(first_state(network_of(*parts), MEMBERS)), MEMBERS[:2])
