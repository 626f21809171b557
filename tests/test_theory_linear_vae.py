import doctest
from importlib import import_module

import numpy as np
import pytest
from scipy import integrate, stats

from echo_tf.theory import (
    gaussian_mixture_bound,
    linear_vae,
    linear_vae_per_image,
    linear_vae_squared_error,
    reverse_water_filling,
)

BETAS = [0.0, 0.01, 0.3, 1.0, 7.0, 200.0]


def model(pixels, k, seed=0, n=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(pixels, k)), rng.normal(size=pixels), rng.normal(size=(n, pixels)) * 2


def by_inverses(weights, bias, image, beta, variance):
    """The definition: the tempered posterior by a dense inverse, KL and expected -log p(x|z) by their formulas."""
    k = weights.shape[1]
    covariance = np.linalg.inv(np.eye(k) + beta / variance * weights.T @ weights)
    mean = beta / variance * covariance @ weights.T @ (image - bias)
    rate = 0.5 * (np.trace(covariance) + mean @ mean - k - np.linalg.slogdet(covariance)[1])
    error = np.sum((image - bias - weights @ mean) ** 2) + np.trace(weights @ covariance @ weights.T)
    return rate, error / (2 * variance) + 0.5 * len(image) * np.log(2 * np.pi * variance), error


def test_the_example_prints_what_it_says():
    found = doctest.testmod(import_module("echo_tf.theory.linear_vae"))
    assert found.attempted and not found.failed


@pytest.mark.parametrize(("pixels", "k"), [(7, 3), (5, 5), (3, 8), (1, 1)])
@pytest.mark.parametrize("variance", [1.0, 0.3])
def test_rate_and_distortion_are_those_of_dense_linear_algebra(pixels, k, variance):
    weights, bias, images = model(pixels, k)
    found = linear_vae_per_image(weights, bias, images, BETAS, variance)
    squared = linear_vae_squared_error(weights, bias, images, [b / (2 * variance) for b in BETAS])
    expected = np.array([[by_inverses(weights, bias, image, beta, variance) for image in images] for beta in BETAS])
    np.testing.assert_allclose(found.rate_nats, expected[..., 0], atol=1e-9)
    np.testing.assert_allclose(found.distortion, expected[..., 1], atol=1e-9)
    np.testing.assert_allclose(squared.distortion_sse, expected[..., 2].mean(axis=1), atol=1e-9)
    np.testing.assert_allclose(squared.rate_nats, expected[..., 0].mean(axis=1), atol=1e-9)


@pytest.mark.parametrize(("pixels", "k"), [(7, 3), (3, 8)])
def test_log_z_at_beta_1_is_the_model_s_log_likelihood(pixels, k):
    weights, bias, images = model(pixels, k)
    found = linear_vae_per_image(weights, bias, images, 1.0, 0.4)
    law = stats.multivariate_normal(bias, weights @ weights.T + 0.4 * np.eye(pixels))
    np.testing.assert_allclose(found.log_z_nats[0], law.logpdf(images), atol=1e-10)


@pytest.mark.parametrize("beta", [0.2, 1.0, 5.0])
def test_log_z_and_distortion_are_those_of_quadrature(beta):
    w, b, x, variance = 1.7, 0.3, 2.0, 0.5

    def density(z):
        return stats.norm.logpdf(x, w * z + b, np.sqrt(variance))

    def weight(z):
        return stats.norm.pdf(z) * np.exp(beta * density(z))

    z_beta = integrate.quad(weight, -12, 12, epsabs=1e-14)[0]
    distortion = integrate.quad(lambda z: -density(z) * weight(z), -12, 12, epsabs=1e-14)[0] / z_beta
    row = linear_vae([[w]], [b], [[x]], beta, variance).iloc[0]
    assert row.log_z_nats == pytest.approx(np.log(z_beta), abs=1e-9)
    assert row.distortion_nats == pytest.approx(distortion, abs=1e-9)
    assert row.rate_nats == pytest.approx(-np.log(z_beta) - beta * distortion, abs=1e-9)


def test_the_curve_starts_at_rate_zero_falls_and_is_convex_with_slope_minus_beta():
    weights, bias, images = model(20, 6, n=30)
    betas = np.geomspace(1e-3, 100, 400)
    curve = linear_vae(weights, bias, images, betas)
    assert list(curve.columns) == ["beta", "rate_nats", "distortion_nats", "log_z_nats"]
    assert linear_vae(weights, bias, images, 0.0).rate_nats[0] == 0.0
    assert (curve.rate_nats >= 0).all()
    assert (np.diff(curve.rate_nats) > 0).all() and (np.diff(curve.distortion_nats) < 0).all()
    slopes = np.diff(curve.rate_nats) / np.diff(curve.distortion_nats)
    assert np.all(-betas[1:] <= slopes) and np.all(slopes <= -betas[:-1])
    np.testing.assert_allclose(curve.log_z_nats, -(curve.rate_nats + betas * curve.distortion_nats))


def test_the_constant_counts_the_pixels_and_not_the_code():
    found = linear_vae(np.zeros((784, 10)), np.zeros(784), np.zeros((1, 28, 28)), 1.0)
    assert found.distortion_nats[0] == pytest.approx(784 * 0.9189385332, abs=1e-6)  # 720.45


def test_one_gaussian_as_the_marginal_is_the_linear_decoder():
    weights, bias, images = model(6, 3)
    expected = linear_vae_squared_error(weights, bias, images, BETAS[1:])
    for spread, factors in ((weights @ weights.T, False), (weights, True)):
        found = gaussian_mixture_bound([1.0], [bias], [spread], images, BETAS[1:], factors=factors)
        np.testing.assert_allclose(found.rate_nats, expected.rate_nats, atol=1e-8)
        np.testing.assert_allclose(found.distortion_sse, expected.distortion_sse, atol=1e-8)
        np.testing.assert_allclose(found.rate_plus_beta_distortion_nats, -expected.log_z_nats, atol=1e-8)


def test_one_component_with_the_data_s_covariance_lies_above_reverse_water_filling():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 4)) * [3.0, 1.0, 0.5, 0.1]
    x -= x.mean(axis=0)
    covariance = np.cov(x.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    for beta in (0.02, 0.1, 0.5, 3.0):
        level = 1 / (2 * beta)
        distortion = np.minimum(values, level).sum()
        least = reverse_water_filling(values, distortion).rate + beta * distortion
        found = gaussian_mixture_bound([1.0], [np.zeros(4)], [covariance], x, beta).rate_plus_beta_distortion_nats[0]
        best = (vectors * np.maximum(values - level, 0)) @ vectors.T
        assert found >= least
        assert gaussian_mixture_bound([1.0], [np.zeros(4)], [best], x, beta).iloc[0, 3] == pytest.approx(least, abs=1e-9)


def test_a_mixture_s_log_z_is_that_of_quadrature():
    weights, means, variances, x, beta = [0.3, 0.7], [-1.0, 2.0], [0.5, 0.0], 0.4, 1.3
    narrow = stats.norm(means[0], np.sqrt(variances[0]))
    z = weights[0] * integrate.quad(lambda y: narrow.pdf(y) * np.exp(-beta * (x - y) ** 2), -10, 10)[0]
    z += weights[1] * np.exp(-beta * (x - means[1]) ** 2)
    d = weights[0] * integrate.quad(lambda y: (x - y) ** 2 * narrow.pdf(y) * np.exp(-beta * (x - y) ** 2), -10, 10)[0]
    d += weights[1] * (x - means[1]) ** 2 * np.exp(-beta * (x - means[1]) ** 2)
    found = gaussian_mixture_bound(weights, np.array(means)[:, None], np.array(variances)[:, None, None], [[x]], beta).iloc[0]
    assert found.rate_plus_beta_distortion_nats == pytest.approx(-np.log(z), abs=1e-9)
    assert found.distortion_sse == pytest.approx(d / z, abs=1e-9)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.zeros(3)},
        {"bias": np.zeros(2)},
        {"images": np.zeros((2, 4))},
        {"images": np.zeros((0, 3))},
        {"images": np.full((2, 3), np.nan)},
        {"betas": -1.0},
        {"betas": []},
        {"betas": np.inf},
        {"noise_variance": 0.0},
        {"noise_variance": [1.0, 2.0]},
    ],
)
def test_bad_arguments_are_refused_in_one_line(change):
    good = {"weights": np.zeros((3, 2)), "bias": np.zeros(3), "images": np.zeros((2, 3)), "betas": 1.0}
    with pytest.raises(ValueError, match="must be .*got") as refused:
        linear_vae(**{**good, **change})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("weights", "means", "covariances"),
    [([0.5], [[0.0]], [[[1.0]]]), ([1.0], [[0.0, 0.0]], [[[1.0]]]), ([1.0], [[0.0]], [[1.0]]), ([1.0], [[0.0]], [[[-1.0]]])],
)
def test_a_marginal_that_is_none_is_refused(weights, means, covariances):
    with pytest.raises(ValueError, match="must .*got"):
        gaussian_mixture_bound(weights, means, covariances, [[1.0]], 1.0)


def test_the_rate_at_extreme_betas_is_that_of_a_fine_or_of_no_code():
    weights = np.array([[2.0], [0.0]])
    curve = linear_vae_squared_error(weights, np.zeros(2), [[3.0, 1.0]], [0.0, 1e-300, 1e300])
    assert curve.rate_nats[:2].tolist() == [0.0, 0.0] and curve.distortion_sse[0] == 3.0**2 + 1.0 + 2.0**2
    # a posterior of variance 1 / (2 beta w²) at x / w: KL = (log(2 beta w²) - 1 + (x / w)²) / 2
    assert curve.rate_nats[2] == pytest.approx(0.5 * (np.log(8) + 300 * np.log(10) - 1 + 9 / 4))
    assert curve.distortion_sse[2] == pytest.approx(1.0)
