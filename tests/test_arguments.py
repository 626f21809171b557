"""Arguments that are not what they must be are refused in one line, everywhere in the same words."""

import keras
import numpy as np
import pytest

import echo_tf
from echo_tf import arguments, data, disentangle, theory


@pytest.mark.parametrize(
    ("value", "within", "good"),
    [
        (0.5, "[0, 1)", True),
        (np.float32(0), "[0, 1)", True),
        (np.array(0.25), "(0, 1)", True),
        (1, "[0, 1)", False),
        (0, "(0, inf)", False),
        (float("inf"), "[0, inf)", False),
        (float("nan"), "(-inf, inf)", False),
        (-3, "(-inf, inf)", True),
        (True, "[0, inf)", False),
        ("1", "[0, inf)", False),
        (None, "[0, inf)", False),
        ([1.0, 2.0], "[0, inf)", False),
        (1j, "[0, inf)", False),
    ],
)
def test_a_number_lies_in_its_interval(value, within, good):
    if good:
        assert arguments.number("it", value, within) == value
    else:
        with pytest.raises(ValueError, match="it must be a .*, got") as refused:
            arguments.number("it", value, within)
        assert "\n" not in str(refused.value)


def vae():
    inputs = keras.Input((3,))
    encoder = keras.Model(inputs, [keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(inputs)])
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    return echo_tf.RateDistortionAutoencoder(encoder, echo_tf.GaussianSample(), decoder, distortion="squared_error")


def test_of_a_variable_what_it_is_now_is_kept():
    beta = keras.Variable(0.5)
    made = [
        echo_tf.EchoSample(num_terms=9, beta=beta).beta,
        echo_tf.BetaWarmup(2, beta).beta,
        echo_tf.MaximumMeanDiscrepancy(weight=beta).weight,
        echo_tf.Gaussian(variance=beta).variance,
    ]
    beta.assign(0.25)
    assert made == [0.5] * 4 and all(type(value) is float for value in made)


@pytest.mark.parametrize(
    ("value", "good"), [(2, True), (np.int64(7), True), (1, False), (8, False), (2.0, False), (True, False)]
)
def test_an_integer_is_one_and_within_its_bounds(value, good):
    if good:
        assert arguments.integer("it", value, 2, 7) == value
    else:
        with pytest.raises(ValueError, match=r"it must be an integer from 2 to 7, got"):
            arguments.integer("it", value, 2, 7)


@pytest.mark.parametrize("values", [[1j, 2.0], ["a"], [[1], [1, 2]], None, {"a": 1}])
def test_what_is_not_of_real_numbers_is_no_array(values):
    with pytest.raises(ValueError, match="it must be numbers >= 0, got"):
        arguments.array("it", values, 0.0, "numbers >= 0")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: theory.gaussian_rate(np.array([1j, 2.0])), "distortion must be numbers >= 0"),
        (lambda x: theory.fit_particles(x, 1.0, x[:2], steps=2.5), "steps must be an integer of 1 or more, got 2.5"),
        (lambda x: theory.fit_gaussian_mixture(x, 2, 1.0, num_directions=-1), "num_directions must be an integer"),
        (lambda x: theory.fit_gaussian_mixture(x, 2, 1.0, start=0), "start must be a GaussianMixture of num_components = 2"),
        (lambda x: theory.gaussian_demo(num_points="x"), "num_points must be an integer of 2 or more, got 'x'"),
        (lambda x: theory.lower_bound(x, [1.0], ascent_steps=0), "ascent_steps must be an integer"),
        (lambda x: disentangle.dependent_subset((3, 4), num_blocks=2.5), "num_blocks must be an integer of 1 or more, got 2.5"),
        (lambda x: echo_tf.VampPrior(2.5), "num_pseudo_inputs must be an integer of 1 or more, got 2.5"),
        (lambda x: echo_tf.EchoSample(num_terms=2.5), "num_terms must be an integer of 1 or more, got 2.5"),
        (lambda x: echo_tf.EchoSample(scheme="permutations"), "did you mean 'permutation'"),
        (lambda x: echo_tf.EchoSample(standardize="no"), "standardize must be True or False, got 'no'"),
        (lambda x: echo_tf.AutoregressiveFlow(hidden_units=(640, 0)), "each of hidden_units must be an integer"),
        (lambda x: echo_tf.Gaussian(start=None), "start must be a positive finite number, got None"),
        (lambda x: vae().measure(x, ["rates"]), "each of names must be one of .*did you mean 'rate'"),
        (lambda x: vae().rate(x, batch_size=0), "batch_size must be an integer of 1 or more, got 0"),
        (lambda x: vae().generate(-1), "n must be an integer of 1 or more, got -1"),
        (lambda x: echo_tf.isometry.traversals(vae(), x, 5), "each of latents must be an integer from 0 to 1, got"),
        (lambda x: data.load(None), "a dataset has a name, such as binary_mnist"),
        (lambda x: data.load("digits").padded(0), "multiple must be an integer of 1 or more, got 0"),
        (lambda x: echo_tf.BetaWarmup(None), "epochs must be a finite number of 0 or more, got None"),
        (lambda x: echo_tf.adversarial.indicators(x, x[:, :1], x), "must be images .* of one size"),
        (lambda x: echo_tf.adversarial.indicators(x, x, x, np.zeros(3), np.zeros(20)), "train_labels must be of the shape"),
    ],
)
def test_where_it_would_have_been_found_late_or_never(call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call(np.random.default_rng(0).normal(size=(20, 3)))
    assert "\n" not in str(refused.value)


def test_the_nearest_image_is_found_far_from_the_origin():
    x = np.random.default_rng(0).normal(size=(30, 4))
    found = echo_tf.adversarial.indicators(x[:5] + 1e4, x + 1e4, x[5:] + 1e4)
    assert found["nearest_sse"] == pytest.approx(0, abs=1e-5)  # 1e8 in float32 is exact to 8
