"""The toy sources, losses and closed forms of the isometric VAE paper, against quadrature and printed numbers."""

import doctest

import keras
import numpy as np
import pytest
from scipy import integrate, stats

from echo_tf.isometry import Density, WeightedSquaredError, losses, source_of, theory
from echo_tf.isometry.sources import SHAPES, VARIANCES
from echo_tf.theory import reverse_water_filling

FACTORS = [Density(shape, v) for shape, v in dict.fromkeys((s, v) for x in SHAPES.values() for s, v in zip(x, VARIANCES))]


def moment(density, power):
    low, high = np.clip(density.limits, -14, 14)
    points = [0.0] if density.shape == "triangle" else None
    return integrate.quad(lambda s: s**power * np.exp(density.log_prob(s)), low, high, points=points)[0]


@pytest.mark.parametrize("density", FACTORS, ids=str)
def test_a_density_integrates_to_one_with_mean_0_and_its_variance(density):
    assert moment(density, 0) == pytest.approx(1, abs=1e-9)
    assert moment(density, 1) == pytest.approx(0, abs=1e-9)
    assert moment(density, 2) == pytest.approx(density.variance, abs=1e-9)


@pytest.mark.parametrize("density", FACTORS, ids=str)
def test_the_quantile_inverts_the_integral_of_the_density(density):
    low = max(density.limits[0], -14)
    for u in (0.01, 0.3, 0.5, 0.77, 0.999):
        points = [0.0] if density.shape == "triangle" else None
        found = integrate.quad(lambda s: np.exp(density.log_prob(s)), low, float(density.quantile(u)), points=points)[0]
        assert found == pytest.approx(u, abs=1e-7)


def test_outside_of_its_support_a_density_is_0():
    assert np.isneginf(Density("triangle", 1 / 6).log_prob([-1.01, 1.01])).all()
    assert np.isneginf(Density("ramp", 8 / 3).log_prob([-2.32, 4.63])).all()
    assert np.isfinite(Density("uniform", 2 / 3).log_prob([-1.414, 1.414])).all()


def test_supports_are_those_that_the_axes_of_figures_2_and_9_show():
    root = 3**0.5 / 3
    for density, limits in zip(source_of("mix").densities, ((-1, 1), (-(2**0.5), 2**0.5), (-4 * root, 8 * root))):
        np.testing.assert_allclose(density.limits, limits)
    for density, limits in zip(source_of("ramp").densities, ((-root, 2 * root), (-2 * root, 4 * root))):
        np.testing.assert_allclose(density.limits, limits)


@pytest.mark.parametrize(
    "name, entropy, highest", [("mix", 3.2822, 0.1021), ("ramp", 3.1479, 0.1925), ("norm", 3.6486, 0.1166)]
)
def test_entropy_and_highest_density_of_each_source(name, entropy, highest):
    source = source_of(name, seed=1)
    x = source.embed(source.sample(200_000, seed=2))
    log_p = source.log_prob(x)
    assert -log_p.mean() == pytest.approx(entropy, abs=0.01)
    assert np.exp(log_p.max()) == pytest.approx(highest, rel=0.06) and np.exp(log_p.max()) < highest * 1.0005


@pytest.mark.parametrize("name", SHAPES)
def test_samples_follow_their_densities_and_an_embedding_keeps_distances(name):
    source = source_of(name, seed=3)
    s = source.sample(20_000)
    for column, density in zip(s.T, source.densities):
        grid = np.linspace(0, 1, 2001)[1:-1]
        cdf = np.interp(column, density.quantile(grid), grid)
        assert stats.kstest(cdf, "uniform").pvalue > 1e-3
    x = source.embed(s)
    np.testing.assert_allclose(np.linalg.norm(x[:-1] - x[1:], axis=1), np.linalg.norm(s[:-1] - s[1:], axis=1))
    assert (x**2).sum(1).mean() == pytest.approx(3.5, abs=0.1)


@pytest.mark.parametrize("name, upward", [("mix", 1.070), ("ramp", 1.072), ("norm", 1.093)])
def test_the_downward_weight_is_1_on_average_and_the_upward_one_is_not(name, upward):
    source = source_of(name)
    x = source.embed(source.sample(200_000))
    assert losses.weight("down", x).mean() == pytest.approx(1, abs=0.01)
    assert losses.weight("up", x).mean() == pytest.approx(upward, abs=0.01)
    ends = losses.weight("down", np.array([[0.0], [5.0]]))
    np.testing.assert_allclose(ends, [0.6667, 3.0476], atol=1e-4)  # figure 10


def test_the_weighted_error_is_what_its_formula_says_and_no_gradient_passes_its_weight():
    x, output = np.random.default_rng(0).normal(size=(2, 5, 16)).astype(np.float32)
    for loss, a in (("square", 1), ("down", 2 / 3 + 2 / 21 * (x**2).sum(1)), ("up", 1 / (2 / 3 + 2 / 21 * (x**2).sum(1)))):
        for reduction, scale in (("sum", 1), ("mean", 1 / 16)):
            found = WeightedSquaredError(loss, reduction)(x, output)
            np.testing.assert_allclose(found, scale * a * ((x - output) ** 2).sum(1), rtol=1e-5)
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() == "tensorflow":
        point = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(point)
            value = WeightedSquaredError("down")(point, output)
        expected = 2 * (2 / 3 + 2 / 21 * (x**2).sum(1))[:, None] * (x - output)
        np.testing.assert_allclose(tape.gradient(value, point), expected, rtol=1e-4, atol=1e-5)


def test_what_is_no_source_loss_or_reduction_is_refused_by_name():
    with pytest.raises(ValueError, match="did you mean 'norm'"):
        source_of("nrom")
    with pytest.raises(ValueError, match="did you mean 'down'"):
        WeightedSquaredError("dwon")
    with pytest.raises(ValueError, match="reduction must be one of sum, mean"):
        WeightedSquaredError("down", "max")


LINEAR = {  # lambda: coding / (3 beta / 2), transform / coding, 21 beta / 16, norms, E[sigma^-2], KL
    1: (0.3542, 1.1961, 1.3125, (0, 0.25, 0.8125), (1, 1.33, 5.33), 0.981),
    5: (0.7375, 0.3559, 0.2625, (0.40, 0.85, 0.9625), (1.67, 6.67, 26.7), 2.846),
    100: (0.9869, 0.0133, 0.0131, (0.97, 0.9925, 0.998), (33.3, 133, 533), 7.339),
    1000: (0.9987, 0.0013, 0.0013, (0.997, 0.9992, 0.9998), (333, 1333, 5333), 10.793),
}


@pytest.mark.parametrize("multiplier", LINEAR)
def test_the_exact_optima_on_normal_data_are_those_of_the_linear_vae(multiplier):
    beta, (coding, ratio, approximate, norms, inverse, rate) = 1 / multiplier, LINEAR[multiplier]
    [row] = theory.normal_curves(beta).to_dict("records")
    assert row["coding_loss"] / (1.5 * beta) == pytest.approx(coding, abs=6e-5)
    assert row["transform_loss"] / row["coding_loss"] == pytest.approx(ratio, abs=6e-5)
    lines = theory.approximate_losses(beta)
    assert lines[1] / lines[0] == pytest.approx(approximate, abs=6e-5) == 21 * beta / 16
    assert [row[f"norm_z{i}"] for i in (1, 2, 3)] == pytest.approx(norms, abs=6e-4)
    assert [row[f"inverse_variance_z{i}"] for i in (1, 2, 3)] == pytest.approx(inverse, rel=3e-3)
    assert row["rate_nats"] == pytest.approx(rate, abs=6e-4)
    filled = reverse_water_filling(np.array(VARIANCES), row["coding_loss"] + row["transform_loss"])
    assert filled.rate == pytest.approx(row["rate_nats"], abs=1e-9) and filled.level == pytest.approx(beta / 2)


def test_the_optimum_of_the_linear_vae_is_its_closed_form_and_a_minimum():
    v, beta = 0.7, 0.3
    d = beta / 2
    found = theory.linear_optimum(v, beta)
    expected = ((v - d) ** 0.5 / v, (v - d) ** 0.5, d / v, d**2 / v, d * (1 - d / v), 0.5 * np.log(v / d), 1 - d / v)
    np.testing.assert_allclose(found, expected)

    def loss(a, b, s2):
        kl = 0.5 * (a**2 * v + s2 - np.log(s2) - 1)
        return v * (1 - a * b) ** 2 + b**2 * s2 + beta * kl

    best = loss(*found[:3])
    for step in np.vstack([np.eye(3), -np.eye(3)]) * 1e-3:
        assert loss(*(np.array(found[:3]) + step)) > best
    collapsed = theory.linear_optimum(0.1, 0.3)
    np.testing.assert_allclose(collapsed, (0, 0, 1, 0.1, 0, 0, 0), atol=1e-15)


def test_appendix_b_is_stationary_with_the_approximate_rate_and_has_the_printed_numbers():
    found = theory.linear_approximation(1.0, 0.1)
    assert found.transform_loss == pytest.approx(0.00278640, abs=1e-8) and found.coding_loss == 0.05
    assert found.transform_loss / found.coding_loss == pytest.approx(0.0557281, abs=1e-7)

    def loss(a, b, s):  # equation 51, for v = 1 and beta = 0.1
        return (a * b - 1) ** 2 + b**2 * s**2 + 0.1 * (0.5 * (a**2 - 1) - np.log(s))

    at = np.array(found[:3])
    slopes = [(loss(*(at + e)) - loss(*(at - e))) / 2e-5 for e in 1e-5 * np.eye(3)]
    np.testing.assert_allclose(slopes, 0, atol=1e-8)
    with pytest.raises(ValueError, match="a number in .0, 0.5."):
        theory.linear_approximation(1.0, 0.6)


def test_uniform_quantizing_costs_the_printed_gap_above_the_rate():
    for (mu, sigma), expected in {(0, 0.01): 0.176485, (0.7, 0.05): 0.175873, (1.5, 0.1): 0.165295}.items():
        step = 2 * 3**0.5 * sigma
        code = -np.log(stats.norm.cdf(mu + step / 2) - stats.norm.cdf(mu - step / 2))
        assert code - 0.5 * (mu**2 + sigma**2 - np.log(sigma**2) - 1) == pytest.approx(expected, abs=1e-6)
    assert pytest.approx(0.176485, abs=1e-6) == theory.ENTROPY_CODING_GAP


def test_the_true_conditional_gives_the_entropy_of_its_noise():
    beta, n = 0.07, 3
    noise = np.random.default_rng(0).normal(0, (beta / 2) ** 0.5, (200_000, n))
    log_p = stats.norm(0, (beta / 2) ** 0.5).logpdf(noise).sum(1)
    assert log_p.mean() == pytest.approx(theory.true_conditional_bound(beta, n), abs=0.02)


def test_the_metric_of_cross_entropy_is_least_at_one_half():
    x = np.linspace(0.01, 0.99, 99)
    metric = theory.cross_entropy_metric(x)
    assert metric.min() == pytest.approx(2) and x[metric.argmin()] == pytest.approx(0.5)


def test_examples_print_what_they_say():
    found = doctest.testmod(theory)
    assert found.attempted and not found.failed
