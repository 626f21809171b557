import doctest
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from echo_tf.theory import (
    bernoulli_rate,
    binary_entropy,
    closed_forms,
    gaussian_rate,
    in_bits,
    laplace_rate,
    linear_beta_vae,
    reverse_water_filling,
)
from tests.conftest import ROOT


def test_the_examples_print_what_they_say():
    found = doctest.testmod(closed_forms)
    assert found.attempted >= 5 and not found.failed


def test_the_room_needs_neither_keras_nor_tensorflow():
    code = "import sys, echo_tf.theory; assert not {'keras', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={"ECHO_TF_LAZY": "1", "PATH": ""})


def test_a_quarter_of_the_variance_costs_a_gaussian_one_bit():
    assert in_bits(gaussian_rate(0.25)) == pytest.approx(1.0, abs=1e-15)
    assert in_bits(gaussian_rate(1.0, variance=4.0)) == pytest.approx(1.0, abs=1e-15)
    np.testing.assert_allclose(in_bits(gaussian_rate([2.0, 1.0, 0.0625, 0.0])), [0, 0, 2, np.inf])


def test_binary_entropy_is_that_of_scipy():
    p = np.array([0.0, 1e-9, 0.2, 0.5, 0.9, 1.0])
    np.testing.assert_allclose(binary_entropy(p), [stats.bernoulli(q).entropy() for q in p], atol=1e-15)


def test_the_rate_of_a_coin_is_zero_from_its_rarer_side_on():
    assert bernoulli_rate(0.0, 0.2) == pytest.approx(stats.bernoulli(0.2).entropy())
    np.testing.assert_array_equal(bernoulli_rate([0.2, 0.3, 1.0], 0.2), 0.0)
    np.testing.assert_array_equal(bernoulli_rate([0.2, 0.3, 1.0], 0.8), 0.0)
    assert bernoulli_rate(0.11) == pytest.approx(np.log(2) - stats.bernoulli(0.11).entropy())


def test_the_laplace_rate_is_its_shannon_lower_bound():
    # h(X) - max of h(N) over E|N| = D, both Laplace: the bound is attained under absolute error
    for distortion in (0.1, 0.9):
        bound = stats.laplace(scale=2.0).entropy() - stats.laplace(scale=distortion).entropy()
        assert laplace_rate(distortion, 2.0) == pytest.approx(bound)
    assert laplace_rate(2.5, 2.0) == 0.0


@pytest.mark.parametrize("distortion", [0.01, 0.5, 1.3, 4.0, 6.9])
def test_water_filling_is_the_minimum_over_all_shares_of_the_distortion(distortion):
    variances = np.array([3.0, 0.0, 0.5, 2.0, 0.5, 1.0])
    rate, shares, level = reverse_water_filling(variances, distortion)
    assert shares.sum() == pytest.approx(distortion) and shares.max() <= level + 1e-12
    positive = variances[variances > 0]
    found = optimize.minimize(
        lambda d: 0.5 * np.sum(np.log(positive / d)),
        positive * distortion / positive.sum(),
        bounds=[(1e-9, v) for v in positive],
        constraints={"type": "eq", "fun": lambda d: d.sum() - distortion},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert rate == pytest.approx(found.fun, abs=1e-5)
    assert rate == pytest.approx(sum(gaussian_rate(s, v) for s, v in zip(shares, variances) if v > 0))


def test_water_filling_at_its_ends():
    assert reverse_water_filling([1.0, 2.0], 3.0)[0] == 0.0
    rate, shares, level = reverse_water_filling([1.0, 2.0], 5.0)
    assert (rate, level) == (0.0, 2.0) and shares.tolist() == [1.0, 2.0]
    assert reverse_water_filling([1.0, 0.0], 0.0).rate == np.inf
    assert reverse_water_filling([0.0, 0.0], 0.0).rate == 0.0
    assert reverse_water_filling([4.0], 1.0).rate == pytest.approx(gaussian_rate(1.0, 4.0))


def test_rates_are_finite_wherever_the_logarithm_is():
    # the ratio overflows long before its logarithm: 320 ln 10 for a distortion of 1e-320
    assert gaussian_rate(1e-320) == pytest.approx(0.5 * np.log(1e-320) * -1)
    assert laplace_rate(1e-300, scale=1e300) == pytest.approx(600 * np.log(10))
    assert reverse_water_filling([1e-300, 1e300], 1e-300).rate == pytest.approx(0.5 * (600 * np.log(10) + np.log(4)))
    for rate in (gaussian_rate, laplace_rate, bernoulli_rate):
        assert rate(np.inf) == 0.0
    assert reverse_water_filling([1.0, 2.0], np.inf)[0] == 0.0
    assert bernoulli_rate(0.0, p=1.0) == 0.0 and bernoulli_rate(1.0, p=0.3) == 0.0
    optimum = linear_beta_vae(1e300, 1e10, 1e308)  # beta times the noise overflows: collapsed all the more
    assert optimum[:4] == (0.0, 0.0, 1.0, 0.0) and optimum.squared_error == 1e300
    assert linear_beta_vae(1e300, 1e10, 1e-300).rate_nats == pytest.approx(295 * np.log(10))


def test_bits_are_nats_by_column_and_the_slope_stays():
    table = pd.DataFrame({"beta": [1.0], "rate_nats": [np.log(4)], "distortion": [3.0], "distortion_nats": [np.log(2)]})
    bits = in_bits(table)
    assert list(bits) == ["beta", "rate_bits", "distortion", "distortion_bits"]
    np.testing.assert_allclose(bits.iloc[0], [1.0, 2.0, 3.0, 1.0])
    assert list(table)[1] == "rate_nats" and table.rate_nats[0] == np.log(4)
    assert in_bits(np.log([2.0, 8.0])).tolist() == pytest.approx([1.0, 3.0])


def loss_of_linear_vae(parameters, variance, noise_variance, beta):
    """The loss by its definition: expectations of Gaussians, no optimum put in."""
    w, a, t = parameters[0], parameters[1], np.exp(parameters[2])
    error = variance * (1 - w * a) ** 2 + w**2 * t
    rate = 0.5 * (a**2 * variance + t - 1 - np.log(t))
    distortion = 0.5 * error / noise_variance + 0.5 * np.log(2 * np.pi * noise_variance)
    return distortion + beta * rate, rate, distortion


@pytest.mark.parametrize(("variance", "noise_variance", "beta"), [(4, 1, 1), (4, 1, 3.5), (4, 1, 4), (4, 1, 9), (1, 0.1, 0.5)])
def test_the_linear_beta_vae_is_where_numerical_optimisation_ends(variance, noise_variance, beta):
    optimum = linear_beta_vae(variance, noise_variance, beta)
    starts = [[1.0, 0.5, -1.0], [2.0, 0.1, 0.0], [0.3, 0.3, 0.3]]
    found = [
        optimize.minimize(lambda q: loss_of_linear_vae(q, variance, noise_variance, beta)[0], s, method="BFGS") for s in starts
    ]
    best = min(found, key=lambda f: f.fun)
    loss, rate, distortion = loss_of_linear_vae(
        [optimum.weight, optimum.encoder_gain, np.log(optimum.encoder_variance)], variance, noise_variance, beta
    )
    assert loss <= best.fun + 1e-9 and loss == pytest.approx(best.fun, abs=1e-5)
    assert optimum.rate_nats == pytest.approx(rate, abs=1e-12)
    assert optimum.distortion_nats == pytest.approx(distortion, abs=1e-12)
    assert optimum.rate_nats == pytest.approx(gaussian_rate(optimum.squared_error, variance))
    if optimum.rate_nats > 0:  # there R(D) has the slope that the optimum says
        left, right = (gaussian_rate(optimum.squared_error * factor, variance) for factor in (0.999, 1.001))
        assert (left - right) / (0.002 * optimum.squared_error) == pytest.approx(optimum.rate_distortion_beta, rel=1e-5)


def test_the_posterior_collapses_exactly_from_the_ratio_of_the_variances_on():
    assert linear_beta_vae(4.0, 1.0, 3.999).rate_nats > 0
    for beta in (4.0, 4.001, 100.0):
        optimum = linear_beta_vae(4.0, 1.0, beta)
        assert (optimum.rate_nats, optimum.weight, optimum.encoder_gain, optimum.encoder_variance) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: gaussian_rate(-0.1),
        lambda: gaussian_rate(np.nan),
        lambda: gaussian_rate(0.1, variance=0.0),
        lambda: gaussian_rate("a lot"),
        lambda: bernoulli_rate(0.1, p=1.2),
        lambda: bernoulli_rate(-0.1),
        lambda: binary_entropy(1.1),
        lambda: laplace_rate(0.1, scale=-1.0),
        lambda: reverse_water_filling([1.0, -1.0], 0.5),
        lambda: reverse_water_filling([[1.0]], 0.5),
        lambda: reverse_water_filling([], 0.5),
        lambda: reverse_water_filling([1.0], [0.5]),
        lambda: reverse_water_filling([1.0], -0.5),
        lambda: in_bits(pd.DataFrame({"beta": [1.0]})),
        lambda: linear_beta_vae(1.0, 0.0, 1.0),
        lambda: linear_beta_vae(1.0, 1.0, np.inf),
        lambda: linear_beta_vae("one", 1.0, 1.0),
        lambda: linear_beta_vae([1.0, 2.0], 1.0, 1.0),
    ],
)
def test_bad_arguments_are_refused_in_one_line(call):
    with pytest.raises(ValueError, match="must be .*got") as refused:
        call()
    assert "\n" not in str(refused.value)


def test_water_filling_at_the_total_variance_is_free_however_it_is_rounded():
    rng = np.random.default_rng(0)
    for _ in range(300):
        variances = rng.gamma(0.5, size=rng.integers(2, 150))
        for total in (
            variances.sum(),
            sum(variances.tolist()),
            variances.mean() * len(variances),
            np.nextafter(variances.sum(), 0),
        ):
            found = reverse_water_filling(variances, total)
            assert found.rate < 1e-6 and found.distortions.sum() == pytest.approx(total)
