"""The analysis of trained VAEs, against the exact optimum of linear VAEs and closed forms."""

import keras
import numpy as np
import pandas as pd
import pytest

from echo_tf import Bernoulli, GaussianSample, RateDistortionAutoencoder, VampPrior, WeightedSquaredError, isometry
from echo_tf.alive import alive
from echo_tf.isometry import theory
from echo_tf.isometry.encoding import encoded_by_echo
from echo_tf.isometry.sources import VARIANCES
from tests.small_models import autoencoder, bars, decoder, encoder

COLUMNS = ["latent", "kl_nats", "inverse_variance", "derivative", "derivative_jvp", "norm", "norm_plus_variance", "alive"]
BETA = 0.05


def linear(optima, basis, distortion="squared_error", beta=BETA):
    """The linear VAE with these gains along the rows of a basis, as a Keras model."""
    a, b, s2 = (np.array(values, np.float32) for values in zip(*(one[:3] for one in optima)))
    x, z = keras.Input((basis.shape[1],)), keras.Input((len(a),))
    loc, log_scale = keras.layers.Dense(len(a)), keras.layers.Dense(len(a), kernel_initializer="zeros")
    encoder = keras.Model(x, [loc(x), log_scale(x)])
    loc.set_weights([(basis.T * a).astype(np.float32), np.zeros(len(a))])
    log_scale.set_weights([log_scale.get_weights()[0], 0.5 * np.log(s2)])
    output = keras.layers.Dense(basis.shape[1])
    decoder = keras.Model(z, output(z))
    output.set_weights([(b[:, None] * basis).astype(np.float32), np.zeros(basis.shape[1])])
    return RateDistortionAutoencoder(encoder, GaussianSample(seed=0), decoder, distortion=distortion, beta=beta)


@pytest.fixture(scope="module")
def source():
    return isometry.source_of("norm", seed=4)


@pytest.fixture(scope="module")
def points(source):
    return source.embed(source.sample(20_000)).astype(np.float32)


@pytest.fixture(scope="module")
def optimum(source):
    return linear([theory.linear_optimum(v, BETA) for v in VARIANCES], source.basis)


def test_the_analysis_of_an_exact_optimum_finds_its_closed_form(optimum, points, source):
    found = isometry.examine(optimum, points, log_prob=source.log_prob)
    table, exact = found.table, [theory.linear_optimum(v, BETA) for v in VARIANCES][::-1]
    assert list(table["latent"]) == [2, 1, 0] and table["alive"].all() and set(COLUMNS) <= set(table)
    np.testing.assert_allclose(table["norm"], [one.norm for one in exact], rtol=2e-3)
    np.testing.assert_allclose(table["norm_plus_variance"], 1, atol=2e-3)
    np.testing.assert_allclose(table["derivative_jvp"], [one.decoder_gain**2 for one in exact], rtol=1e-5)
    np.testing.assert_allclose(table["derivative"], table["derivative_jvp"], rtol=2e-3)
    np.testing.assert_allclose(table["inverse_variance"], [1 / one.noise_variance for one in exact], rtol=1e-5)
    np.testing.assert_allclose(table["kl_nats"], [one.rate_nats for one in exact], atol=0.02)
    curves = theory.normal_curves(BETA).iloc[0]
    assert found.losses["coding_loss"] == pytest.approx(curves["coding_loss"], rel=0.01)
    assert found.losses["transform_loss"] == pytest.approx(curves["transform_loss"], rel=0.03)
    assert found.losses["distortion"] == pytest.approx(1.5 * BETA, rel=0.01)  # water-filling: 3 beta / 2
    assert found.losses["theoretical_coding_loss"] == pytest.approx(1.5 * BETA)
    assert found.losses["mean_abs_cosine"] < 1e-5  # columns along orthogonal directions


def test_at_the_optimum_on_normal_data_the_estimates_are_the_density(points, source):
    model = linear([theory.linear_optimum(v, 0.01) for v in VARIANCES], source.basis, beta=0.01)
    found = isometry.examine(model, points, log_prob=source.log_prob)
    correlations = found.correlations()
    assert min(correlations[name] for name in ("prior", "bound", "posterior", "objective")) > 0.98
    assert all(slope == pytest.approx(1, abs=0.08) for slope in found.slopes(0.01).values())
    ratio = np.exp(found.estimates["bound"] - found.estimates["posterior"])
    assert np.exp(np.log(ratio).mean()) == pytest.approx((2 * np.pi) ** 1.5, rel=0.05)  # 15.75


def test_a_dimension_that_collapsed_is_dead_and_obeys_the_sharper_law(points, source):
    optima = [theory.linear_optimum(v, 0.5) for v in VARIANCES]  # beta / 2 > 1/6: the first one is 0
    table = isometry.analyse(linear(optima, source.basis, beta=0.5), points[:2000])
    assert list(table["alive"]) == [True, True, False]
    dead = table.iloc[2]
    assert dead["latent"] == 0 and dead["norm"] == pytest.approx(0, abs=1e-6) and dead["kl_nats"] < 0.01
    np.testing.assert_allclose(table["norm_plus_variance"], 1, atol=5e-3)


def test_any_linear_decoder_with_the_best_scales_has_norm_1_minus_variance():
    rng, d = np.random.default_rng(1), 0.2
    columns = rng.normal(size=(4, 9)).astype(np.float32)
    optima = [(0.3, 1.0, d / (d + float(row @ row))) for row in columns]
    model = linear(optima, np.linalg.qr(columns.T)[0].T, beta=2 * d)
    model.decoder.layers[-1].set_weights([columns, np.zeros(9)])
    table = isometry.analyse(model, rng.normal(size=(50, 9)).astype(np.float32)).sort_values("latent")
    np.testing.assert_allclose(table["norm"], 1 - np.array([s2 for *_, s2 in optima]), rtol=1e-2)
    exact = 2 / (2 * d) * np.array([s2 for *_, s2 in optima]) * table["derivative_jvp"]
    np.testing.assert_allclose(exact, 1 - np.array([s2 for *_, s2 in optima]), rtol=1e-5)


A, B, C = np.array([[1.0, 0.4], [-0.3, 0.8], [0.5, -1.1]]), np.array([[0.2, 0.0], [0.1, -0.3], [0.0, 0.2]]), (-1.0, -1.5)
W, BIAS = np.array([[0.9, 0.3, -0.2], [0.1, 0.6, 0.4], [0.5, 0.5, 0.5]]), np.array([0.1, 0.0, -0.1])
THREE = np.array([[1.2, -0.7, 0.3], [0.1, 0.9, -1.4], [-0.8, 0.2, 0.6]])


def by_hand(reduction="sum", loss="down", beta=0.2):
    """A linear VAE of three numbers, whose third dimension is the prior's."""
    x, z = keras.Input((3,)), keras.Input((3,))
    layers = [keras.layers.Dense(3) for _ in range(3)]
    encoder, decoder = keras.Model(x, [layers[0](x), layers[1](x)]), keras.Model(z, layers[2](z))
    pad = np.zeros((3, 1))
    layers[0].set_weights([np.hstack([A, pad]), np.zeros(3)])
    layers[1].set_weights([np.hstack([B, pad]), np.array([*C, 0.0])])
    layers[2].set_weights([W, BIAS])
    measure = WeightedSquaredError(loss, reduction)
    return RateDistortionAutoencoder(encoder, GaussianSample(seed=0), decoder, distortion=measure, beta=beta)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_analysis_of_three_points_by_hand(reduction):
    beta, share = 0.2, {"sum": 1.0, "mean": 1 / 3}[reduction]
    found = isometry.examine(by_hand(reduction, beta=beta), THREE, log_prob=lambda x: -x[:, 0])
    mu, scale = np.hstack([THREE @ A, np.zeros((3, 1))]), np.exp(np.hstack([THREE @ B + C, np.zeros((3, 1))]))

    def a(x):
        return 2 / 3 + 2 / 21 * (x**2).sum(axis=1)

    def cost(z):
        return share * a(THREE) * ((THREE - z @ W - BIAS) ** 2).sum(axis=1)

    rate = 0.5 * (mu**2 + scale**2 - 1) - np.log(scale)
    derivative = share * a(mu @ W + BIAS)[:, None] * (W**2).sum(axis=1)
    norm = 2 / beta * scale**2 * derivative
    table = found.table.sort_values("latent")
    assert list(table["alive"]) == [True, True, False] and found.table["inverse_variance"].is_monotonic_decreasing
    expected = {"kl_nats": rate, "inverse_variance": 1 / scale**2, "derivative": derivative, "derivative_jvp": derivative}
    expected |= {"norm": norm, "norm_plus_variance": norm + scale**2}
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values.mean(axis=0), rtol=1e-3, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(table["norm_sd"], norm.std(axis=0), rtol=1e-3)
    np.testing.assert_allclose(table["derivative_sd"], derivative.std(axis=0), rtol=1e-3)

    prior = (-0.5 * (mu**2 + np.log(2 * np.pi)))[:, :2].sum(axis=1)
    bound = -(0.5 * (cost(mu + scale) + cost(mu - scale)) / beta + rate.sum(axis=1))
    posterior, weight = prior + np.log(scale[:, :2]).sum(axis=1), np.log(a(THREE))  # a^{n/2} of n = 2 that are alive
    logs = {"prior": prior, "bound": bound, "posterior_unweighted": posterior}
    logs |= {"posterior": posterior + weight, "objective": bound + weight}
    assert found.estimates.keys() == logs.keys()
    for name, values in logs.items():
        np.testing.assert_allclose(found.estimates[name], values, rtol=1e-4, err_msg=name)

    losses = found.losses
    assert losses["rate_nats"] == pytest.approx(rate.sum(axis=1).mean(), rel=1e-5)
    assert losses["transform_loss"] == pytest.approx(cost(mu).mean(), rel=1e-5)
    assert losses["objective_nats"] == pytest.approx(losses["distortion"] / beta + losses["rate_nats"])
    assert losses["theoretical_coding_loss"] == pytest.approx(2 * beta / 2)
    cosine = W[0] @ W[1] / np.sqrt(W[0] @ W[0] * (W[1] @ W[1]))
    assert losses["mean_abs_cosine"] == pytest.approx(abs(cosine), rel=1e-4)

    p, log_p = np.exp(-THREE[:, 0]), -THREE[:, 0]
    np.testing.assert_allclose(found.log_density, log_p)
    m, slopes = {"sum": 1, "mean": 3}[reduction], found.slopes(beta, {"sum": 1, "mean": 3}[reduction])
    constants = {"posterior": 2 / beta / m, "objective": 1 / (np.pi * beta * m)}  # to the power n / 2 = 1
    for name, constant in constants.items():
        q = constant * np.exp(logs[name])
        assert slopes[name] == pytest.approx((p @ q) / (q @ q), rel=1e-3)
        assert found.correlations()[name] == pytest.approx(np.corrcoef(p, q)[0, 1], rel=1e-4)


def test_a_distortion_that_is_a_mean_over_elements_has_the_slopes_of_the_sum():
    whole = isometry.examine(by_hand(beta=0.3), THREE, log_prob=lambda x: -x[:, 0]).slopes(0.3)
    part = isometry.examine(by_hand("mean", beta=0.1), THREE, log_prob=lambda x: -x[:, 0]).slopes(0.1, 3)
    assert part == pytest.approx(whole, rel=1e-4)


def test_a_dimension_is_alive_from_0_05_nats_above_that_of_one_that_carries_nothing():
    trained = [3.1, 0.8, 0.19, 0.0215, 0.0106, 0.0041]  # MNIST, lambda = 10,000: the rest of a spectrum behind its gap
    assert list(alive(trained)) == [True, True, True, False, False, False]
    assert list(alive([0.0499, 0.0501])) == [False, True]
    assert list(alive([0.1926, 0.2173, 0.24], idle_nats=0.1793)) == [False, False, True]


def test_statistics_do_not_depend_on_the_scale_of_the_distortion(points, source):
    whole = isometry.analyse(linear([theory.linear_optimum(v, BETA) for v in VARIANCES], source.basis), points[:500])
    mean = WeightedSquaredError(reduction="mean")
    part = linear([theory.linear_optimum(v, BETA) for v in VARIANCES], source.basis, mean, BETA / 16)
    np.testing.assert_allclose(isometry.analyse(part, points[:500])["norm"], whole["norm"], rtol=5e-3)


def vae(**settings):
    return autoencoder(GaussianSample(seed=0), **settings)


def with_probabilities():
    measure = Bernoulli(from_logits=False)
    return RateDistortionAutoencoder(encoder("linear", "linear"), GaussianSample(), decoder("sigmoid"), distortion=measure)


@pytest.mark.parametrize("make", [vae, lambda: vae(distortion="gaussian"), with_probabilities])
def test_finite_differences_agree_with_exact_derivatives_for_images(make):
    x = bars(40)
    model = make()
    table = isometry.analyse(model, x)
    np.testing.assert_allclose(table["derivative"], table["derivative_jvp"], rtol=0.05, atol=2e-4)
    assert (table["derivative_jvp"] >= 0).all()
    pd.testing.assert_frame_equal(table, isometry.analyse(model, x))


def test_echo_has_a_counterpart_with_scales_relative_to_its_codes():
    x = bars(60)
    model = autoencoder()
    found = isometry.examine_echo(model, x)
    table = found.table
    assert set(COLUMNS) <= set(table) and np.isfinite(table.drop(columns="alive").to_numpy(float)).all()
    rate = -np.log(1 / np.sqrt(table["inverse_variance"]))
    assert (table["kl_nats"] <= rate + 1e-6).all()  # Jensen: E log s^-2 is at most log E s^-2
    assert table["kl_nats"].sum() == pytest.approx(float(model.rate(x).mean()), rel=1e-4)
    measured = np.mean([model.distortion(x).mean() for _ in range(10)])
    assert found.losses["distortion"] == pytest.approx(measured, rel=0.02)  # with Echo's own noise


def test_the_spread_of_an_echo_code_is_its_scale_times_the_deviation_of_all_codes():
    model, x = autoencoder(), bars(400)
    found = encoded_by_echo(model, x, 100)
    deviation = np.std([model.sample(x) for _ in range(5)], axis=(0, 1))
    np.testing.assert_allclose((found.scale / found.share).mean(axis=0), deviation, rtol=0.2)
    assert deviation.max() < 0.5 and found.rate_nats == pytest.approx(-np.log(found.share), abs=1e-5)


def test_models_that_the_analysis_is_not_of_are_refused_in_one_line(points, optimum):
    x = bars(20)
    refused = {
        "analyse_echo has the counterpart": lambda: isometry.analyse(autoencoder(), x),
        "additive Echo channel, got GaussianSample": lambda: isometry.analyse_echo(optimum, points),
        "marginal StandardNormal, got VampPrior": lambda: isometry.analyse(vae(marginal=VampPrior(5)), x),
        r"beta \(1 / lambda\) must be a positive": lambda: isometry.analyse(optimum, points, beta=0),
        "got -1": lambda: isometry.analyse(optimum, points, beta=-1),
        "got True": lambda: isometry.analyse(optimum, points, beta=True),
        "2 or more, got 1": lambda: isometry.analyse(optimum, points[:1]),
        "needs a RateDistortionAutoencoder, got Sequential": lambda: isometry.analyse(keras.Sequential([]), points, beta=1),
        "give log_prob": lambda: isometry.examine(optimum, points[:50]).correlations(),
        "between 0 and 1": lambda: isometry.analyse(vae(), 2 * x),
    }
    for message, attempt in refused.items():
        with pytest.raises(ValueError, match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_an_analysis_is_one_picture(optimum, points):
    import matplotlib

    matplotlib.use("Agg")
    table = isometry.analyse(optimum, points[:200])
    axes, second = isometry.plot(table)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), table["inverse_variance"])
    assert second.get_ylabel().startswith("(2/β)")


def test_traversals_move_one_dimension_and_leave_the_mean_in_their_middle():
    model = vae()
    x = bars(10)
    images = isometry.traversals(model, x, [1, 0], widest=2.0, steps=5)
    assert images.dtype == np.uint8 and images.shape[:2] == (2, 5)
    np.testing.assert_array_equal(images[0, 2], images[1, 2])
    z = np.zeros((1, model.encode(x)[0].shape[1]), np.float32)
    z[0, 1] = -2
    expected = np.asarray(model.measure_of_distortion.reconstruct(model.decoder(z)))[0]
    np.testing.assert_array_equal(images[0, 0], np.round(255 * expected).astype(np.uint8))
