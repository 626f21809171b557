"""In what precision annealing computes, and priors whose draws are not of their density."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from echo_tf import ais
from echo_tf.ais import Annealing, Sampler, ScaleMixture, Target
from echo_tf.ais.schedule import Schedule
from echo_tf.errors import InputError
from echo_tf.kinds import ais as kind
from echo_tf.kinds import bidirectional
from echo_tf.runs.runner import missing, run
from echo_tf.tables.annealed_curves import _name
from tests.annealed_cases import dense, finished
from tests.small_runs import tiny, tools

SIZES, HEADS = [2, 30, 50], ["tanh", "sigmoid"]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_decoder_of_half_precision_is_annealed_in_the_precision_that_is_asked_for(policy, precision):
    half = keras.Sequential([keras.layers.Dense(n, head, dtype=policy) for n, head in zip(SIZES[1:], HEADS)])
    half.build((None, SIZES[0]))
    inner = keras.Input((2,))
    images, z = np.full((4, 50), 0.5), np.random.default_rng(0).normal(size=(4, 2))
    for decoder in (half, keras.Model(inner, half(inner))):
        target = Target(decoder, images, precision=precision)
        h = np.tanh(z @ np.asarray(half.weights[0], np.float64) + np.asarray(half.weights[1], np.float64))
        logits = h @ np.asarray(half.weights[2], np.float64) + np.asarray(half.weights[3], np.float64)
        exact = ((1 / (1 + np.exp(-logits)) - images) ** 2).sum(1)
        found = target.distortion(tf.constant(z, precision), target.images)
        assert found.dtype == precision
        assert np.allclose(found, exact, rtol={"float32": 1e-5, "float64": 1e-12}[precision])


@keras.saving.register_keras_serializable(package="tests")
class AlwaysHalf(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "mixed_float16"})

    def call(self, z):
        return 2 * z


@pytest.mark.parametrize(
    "decoder, prior, words",
    [
        (lambda z: tf.cast(z, tf.float16), None, "must compute in float32, got float16"),
        (keras.Sequential([keras.Input((2,)), AlwaysHalf()]), None, "in half precision whatever it is told"),
        (
            dense([2, 2], ["linear"]),
            tfp.distributions.MultivariateNormalDiag(np.zeros(2, np.float16)),
            "the prior must compute",
        ),
    ],
)
def test_half_precision_that_cannot_be_helped_is_refused(decoder, prior, words):
    with pytest.raises(ValueError, match=words):
        Target(decoder, np.zeros((1, 2)), prior, latent_dim=2)


def test_a_decoder_that_is_given_in_double_is_taken_as_it_is():
    z = keras.Input((2,), dtype="float64")
    decoder = keras.Model(z, keras.layers.Dense(3, dtype="float64")(z))
    assert Target(decoder, np.zeros((1, 3)), precision="float64").decoder is decoder
    assert Target(decoder, np.zeros((1, 3)), precision="float64").in_double().decoder is decoder


def test_tf32_is_off_while_anything_is_annealed_and_as_before_afterwards():
    experimental, seen = tf.config.experimental, []

    def distortion(x, output):
        seen.append(experimental.tensor_float_32_execution_enabled())
        return tf.reduce_sum((x - output) ** 2, -1)

    before = experimental.tensor_float_32_execution_enabled()
    try:
        experimental.enable_tensor_float_32_execution(True)
        settings = {"preset": "smoke", "num_temperatures": 12, "tuning_temperatures": 12, "num_betas": 2, "num_chains": 2}
        ais.rate_distortion_curve(dense([2, 3], ["linear"]), np.zeros((2, 3)), None, distortion, **settings)
        assert experimental.tensor_float_32_execution_enabled()
    finally:
        experimental.enable_tensor_float_32_execution(before)
    assert len(seen) > 5 and not any(seen)


def test_a_product_of_mixtures_starts_from_draws_of_another_density_and_bounds_nothing():
    zero = dense([3, 3], ["linear"], [np.eye(3), np.zeros(3)])
    each = 0.5 / 3**0.5 + 0.5 / 201**0.5  # of one latent: the integral of its density times exp(-z^2)
    together = 0.5 / 3**1.5 + 0.5 / 201**1.5
    for density, z in (("joint", together), ("product", each**3)):
        target = Target(zero, np.zeros((1, 3)), ScaleMixture(3, 0.5, density=density))
        at_once = Schedule(np.array([0.0, 1.0]), np.array([1]))
        found = finished(Annealing(target, at_once, Sampler("persistent", 1), 20_000, 1)).result().log_z[0, 0]
        assert target.is_bound == (density == "joint")
        assert found - np.log(z) == pytest.approx(0 if density == "joint" else np.log(together / each**3), abs=0.05)
    assert np.log(together / each**3) > 1  # nats that -log Z is too low
    assert ScaleMixture(1, 0.5, density="product").draws_are_of_density  # of one latent both are the same


def test_what_is_no_bound_says_so_and_has_no_gap():
    product = ScaleMixture(2, 0.5, density="product")
    with pytest.raises(ValueError, match="not of its density"):
        ais.bidirectional_gap(dense([2, 3], ["linear"]), [1.0], product, preset="smoke")
    small = {"num_temperatures": 30, "num_betas": 4, "max_beta": 2, "num_images": 3, "num_chains": 3, "leapfrog_steps": 2}
    curves = [
        kind.Settings(study="more", model=tiny(method="vae"), wide_weight=0.5, mixture=mixture, **small)
        for mixture in ("joint", "product")
    ]
    assert [curve.is_bound for curve in curves] == [True, False]
    assert ["no bound" in _name(curve) for curve in curves] == [False, True]
    with pytest.raises(ValueError, match="no round bounds log Z"):
        bidirectional.Settings(study="more", model=curves[1], betas=(1.0,))
    names = [*kind.COLUMNS, "distortion_sse", "distortion_standard_error_sse", "effective_chains"]
    record = {"curve": {name: [1.0] for name in names}, "images": 3}
    assert kind.line({**record, "neg_log_z_is_bound": False}).endswith("−log Z is no bound")
    assert "bound" not in kind.line(record)


@pytest.mark.parametrize(
    "given, words", [({"reference": "grid"}, "two dimensions"), ({"reference": "linear_vae", "wide_weight": 0.5}, "linear_vae")]
)
def test_a_reference_that_cannot_be_is_refused_before_any_run(given, words):
    small = {"num_temperatures": 30, "num_betas": 4, "max_beta": 2, "num_images": 3, "num_chains": 3, "leapfrog_steps": 2}
    with pytest.raises(ValueError, match=words):
        kind.Settings(study="more", model=tiny(method="vae", latent_dim=3), **{**small, **given})


def test_a_record_says_how_exact_its_reference_is_and_a_decoder_that_bends_is_refused_before_the_first_step(tmp_path):
    given = tools(tmp_path)
    small = {"num_temperatures": 400, "num_betas": 4, "max_beta": 2, "num_images": 2, "num_chains": 12, "leapfrog_steps": 3}
    model = tiny(method="vae", latent_dim=2)
    settings = kind.Settings(study="more", model=model, reference="grid", distortion="own", **small)
    for needed in missing(settings, given):
        run(needed, given)
    with pytest.raises(InputError, match="closed form needs a linear decoder"):
        run(settings.model_copy(update={"reference": "linear_vae"}), given)
    assert not list((tmp_path / "work").rglob("*ais*/checkpoint*"))
    record = run(settings, given)[0].record
    assert record["reference"]["codes_within"] == 64 and 0 < record["reference"]["error_nats"] < 0.01
    assert record["tensor_float_32"] is False and record["neg_log_z_is_bound"] is True
    assert np.allclose(record["curve"]["exact_neg_log_z_nats"], record["curve"]["neg_log_z_nats"], atol=1)
