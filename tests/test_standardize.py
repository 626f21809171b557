"""EchoSample(standardize=True): a map of the code that is measured once, then fixed, and changes no rate."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from echo_tf import EchoSample, adapt, echo_noise, exact_clip
from echo_tf.standardization import Standardization
from tests.small_models import autoencoder, bars


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.fixture
def pair(encodings):
    return [x.astype("float32") for x in encodings]


@pytest.mark.parametrize("shape", [(40, 6), (40, 2, 3, 4)])
def test_the_first_training_batch_has_mean_0_and_deviation_1_in_every_dimension(shape):
    rng = np.random.default_rng(0)
    inputs = [(0.01 * rng.random(shape) + 0.4).astype("float32"), -rng.random(shape).astype("float32")]
    axes = tuple(range(len(shape) - 1))  # per channel of a spatial code
    code = numpy(EchoSample(num_terms=30, standardize=True)(inputs, training=True))
    np.testing.assert_allclose(code.mean(axes), 0, atol=1e-3)
    np.testing.assert_allclose(code.std(axes), 1, rtol=1e-3)


def test_afterwards_it_is_a_fixed_map_of_what_another_layer_hands_on(pair):
    loc, log_sigmoid = pair
    plain, mapped = (EchoSample(num_terms=30, seed=1, standardize=flag) for flag in (False, True))
    np.testing.assert_array_equal(numpy(mapped(pair)), numpy(plain(pair)))  # as it is, before it is measured
    first = numpy(plain(pair))
    mapped(pair, training=True)
    for inputs in (pair, [0.3 * loc - 0.1, log_sigmoid]):  # another batch changes nothing
        expected = (numpy(plain(inputs)) - first.mean(0)) / first.std(0)
        np.testing.assert_allclose(numpy(mapped(inputs, training=True)), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(numpy(mapped.rate(pair)), numpy(plain.rate(pair)))  # to the last bit


def test_dimensions_of_any_unit_come_out_alike(pair):
    units = np.array([1, 1e-2, 1e-4, 1, 1e-2, 1e-4], "float32")
    loc = (0.5 + 0.5 * units * pair[0]).astype("float32")
    code = numpy(EchoSample(num_terms=39, standardize=True)([loc, np.full_like(loc, -30)], training=True))
    np.testing.assert_allclose(code.std(0), 1, rtol=5e-3)


def test_a_batch_too_small_to_be_measured_is_refused_and_later_ones_are_not(pair):
    channel = EchoSample(num_terms=30, standardize=True)
    for number in (2, 8):
        with pytest.raises(ValueError, match="of 9 examples or more"):
            channel([x[:number] for x in pair], training=True)
        with pytest.raises(ValueError, match=f"9 examples or more, got {number}"):
            channel.start_from([x[:number] for x in pair])
    assert numpy(channel.standardization.measured) == 0
    channel([x[:9] for x in pair], training=True)
    before = numpy(channel.standardization.mean)
    channel([x[:2] for x in pair], training=True)
    np.testing.assert_array_equal(numpy(channel.standardization.mean), before)
    assert before.any()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_fit_batches_too_small_to_be_measured_are_refused_before_the_first(jit_compile):
    model = autoencoder(EchoSample(num_terms=9, standardize=True, seed=0), compiled=False)
    model.compile("sgd", jit_compile=jit_compile)
    with pytest.raises(ValueError, match="of 9 examples or more"):
        model.fit(bars(), batch_size=5, verbose=0)
    assert int(model.optimizer.iterations) == 0
    model.channel.start_from(model.encode(bars()))
    model.fit(bars(), batch_size=5, verbose=0)


def test_a_constant_dimension_is_left_at_its_size(pair):
    loc, log_sigmoid = pair
    loc[:, 2], log_sigmoid[:, 2] = 0.25, -np.inf
    code = numpy(EchoSample(num_terms=30, standardize=True)([loc, log_sigmoid], training=True))
    np.testing.assert_allclose(code[:, 2], 0, atol=1e-6)
    assert np.isfinite(code).all()


def test_differences_that_are_rounding_are_no_spread():
    code = np.float32([[1000.0, 0.0], [1000.0001, 1e-3]] * 5)  # a unit of the last place apart, and truly apart
    layer = Standardization()
    layer.build(code.shape)
    layer.measure_once(code)
    np.testing.assert_allclose(numpy(layer(code)), [[0, -1], [0, 1]] * 5, atol=2e-3)


def test_no_gradient_flows_through_the_statistics(pair):
    channel = EchoSample(num_terms=30, standardize=True, seed=2)
    plain = EchoSample(num_terms=30, seed=2)
    gradients = []
    for layer in (channel, plain):
        loc = tf.Variable(pair[0])
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer([loc, pair[1]], training=True)[:, 0] ** 3)
            deviation = layer.standardization.deviation[0] if layer is channel else 1.0
            mean = layer.standardization.mean[0] if layer is channel else 0.0
        gradients.append((tape.gradient(loss, loc), float(mean), float(deviation)))
    with tf.GradientTape() as tape:  # what the plain code gives under the same numbers, held constant
        loc = tf.Variable(pair[0])
        code = EchoSample(num_terms=30, seed=2)([loc, pair[1]])[:, 0]
        loss = tf.reduce_sum(((code - gradients[0][1]) / gradients[0][2]) ** 3)
    np.testing.assert_allclose(numpy(gradients[0][0]), numpy(tape.gradient(loss, loc)), rtol=1e-3, atol=1e-3)


def test_start_from_measures_given_encodings_and_the_first_batch_no_longer_does(pair):
    channel = EchoSample(num_terms=30, standardize=True, seed=0)
    channel.start_from([np.tile(x, (50, 1)) for x in pair])
    before = [numpy(v) for v in channel.weights]
    codes = numpy(channel([np.tile(x, (50, 1)) for x in pair], training=True))
    np.testing.assert_allclose(codes.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(codes.std(0), 1, rtol=0.1)
    for variable, value in zip(channel.weights, before):
        np.testing.assert_array_equal(numpy(variable), value)
    with pytest.raises(ValueError, match="standardize=True"):
        EchoSample(num_terms=30).start_from(pair)


def test_the_map_is_in_everything_that_draws_codes_and_in_the_saved_state(pair, tmp_path):
    inputs = [keras.Input((6,)), keras.Input((6,))]
    channel = EchoSample(num_terms=30, standardize=True, seed=3, noise_source="pool")
    model = keras.Model(inputs, channel(inputs))
    channel.adapt(pair)
    channel.start_from(pair)
    many = numpy(channel.sample_marginal(4000))
    np.testing.assert_allclose(many.mean(0), 0, atol=0.25)
    np.testing.assert_allclose(many.std(0), 1, rtol=0.25)
    one = np.concatenate([numpy(channel([x[:1] for x in pair])) for _ in range(300)])
    mean = numpy(channel.mean([x[:1] for x in pair]))[0]
    np.testing.assert_array_less(np.abs(one.mean(0) - mean), 5 * one.std(0) / np.sqrt(300) + 1e-3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    assert loaded.get_config() == channel.get_config() and channel.get_config()["standardize"] is True
    np.testing.assert_array_equal(numpy(loaded.mean(pair)), numpy(channel.mean(pair)))  # of the same pool, mapped alike
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())  # the map is among them, the pool is not
    with pytest.raises(ValueError, match="adapt"):
        clone(pair)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_fit_it_is_measured_in_the_first_step_compiled_or_not(jit_compile):
    model = autoencoder(EchoSample(num_terms=9, standardize=True, seed=0), compiled=False)
    model.compile("sgd", jit_compile=jit_compile)
    model.fit(bars(), batch_size=10, epochs=1, verbose=0)
    measured = [numpy(v) for v in model.channel.weights]
    assert measured[-1] == 1 and (measured[1] > 0).all() and (measured[1] < 0.5).all()  # tanh16 makes small codes
    model.fit(bars(), batch_size=10, epochs=1, verbose=0)
    for variable, value in zip(model.channel.weights, measured):
        np.testing.assert_array_equal(numpy(variable), value)
    assert model.count_params() == autoencoder().count_params()  # they are no parameters


def test_it_starts_at_once_where_the_plain_code_does_not():
    losses = {}
    for flag in (False, True):
        model = autoencoder(EchoSample(num_terms=9, standardize=flag, seed=0))
        losses[flag] = model.fit(bars(), batch_size=10, epochs=6, verbose=0).history["distortion"][-1]
    assert losses[True] < losses[False] - 1


def test_mean_is_that_of_many_codes(pair):
    channel = EchoSample(num_terms=39, seed=0, standardize=True, scheme="replacement")
    channel.start_from(pair)
    codes = np.stack([numpy(channel(pair)) for _ in range(600)])
    error = codes.std(0) / np.sqrt(600)
    # an example is no donor of its own, which moves its mean by a share of 1 / 39
    assert np.all(np.abs(codes.mean(0) - numpy(channel.mean(pair))) < 5 * error + 3 / 39)
    log_scale = pair[1] + np.log(exact_clip(39))
    noise = np.stack([numpy(echo_noise(pair[0], log_scale, 39)) for _ in range(300)])
    fixed_point = pair[0].mean(0) / (1 - np.exp(log_scale).mean(0))
    np.testing.assert_allclose(noise.mean((0, 1)), fixed_point, atol=0.05)


def test_one_call_fills_the_pools_of_a_model_with_several_layers_and_compiled_functions_see_it():
    x = keras.Input((12,))

    def code(h, name):
        loc = keras.layers.Dense(3, activation="tanh")(h)
        source = "pool" if name == "second" else "batch"
        return EchoSample(num_terms=9, standardize=True, beta=0.1, noise_source=source, name=name)(
            [loc, keras.layers.Dense(3, activation="log_sigmoid")(h)]
        )

    first = code(x, "first")
    nested = keras.Model(x, code(x, "nested"))
    model = keras.Model(x, keras.layers.Dense(12)(keras.layers.Concatenate()([first, code(first, "second"), nested(x)])))
    model.compile("adam", "mse")
    data = bars(41)
    adapt(model, data, batch_size=41)  # without which "second" has no noise
    model.fit(data, data, batch_size=41, verbose=0)
    model.predict(data, batch_size=41, verbose=0)
    adapt(model, data, batch_size=10)
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, EchoSample)]
    assert len(layers) == 3
    for layer in layers:
        assert layer._pool[0].shape == (41, 3)
    loc = keras.Model(x, model.get_layer("first").input)(data)[0]
    np.testing.assert_allclose(model.get_layer("first")._pool[0], numpy(loc), atol=1e-6)
    assert np.isfinite(model.predict(data[:1], verbose=0)).all()  # a single example
    with pytest.raises(ValueError, match="has none"):
        adapt(keras.Sequential([keras.layers.Dense(2)]), data)


def test_two_layers_report_their_rates_together(encodings):
    pair = [x.astype("float32") for x in encodings]
    inputs = [keras.Input((6,)), keras.Input((6,))]
    codes = [EchoSample(num_terms=terms, beta=beta)(inputs) for terms, beta in ((30, 0.5), (20, 0.25))]
    model = keras.Model(inputs, keras.layers.Add()(codes))
    model.compile()
    rates = [-np.mean(np.sum(np.log(exact_clip(terms)) + pair[1], axis=1)) for terms in (30, 20)]
    for batch_size in (40, 15):
        measured = model.evaluate(pair, batch_size=batch_size, return_dict=True, verbose=0)
        assert measured["rate"] == pytest.approx(sum(rates), rel=1e-5)
    measured = model.evaluate(pair, batch_size=40, return_dict=True, verbose=0)
    assert measured["loss"] == pytest.approx(0.5 * rates[0] + 0.25 * rates[1], rel=1e-5)
