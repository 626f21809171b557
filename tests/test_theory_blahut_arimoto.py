import doctest
import warnings

import numpy as np
import pytest
from scipy import optimize
from scipy.special import logsumexp

from echo_tf.theory import bernoulli_rate, blahut_arimoto, gaussian_rate, rate_distortion_curve

HAMMING = 1.0 - np.eye(2)


def gaussian_grid(num_points=256, width=5.0):
    x = np.linspace(-width, width, num_points)
    p = np.exp(-(x**2) / 2)
    return p / p.sum(), (x[:, None] - x) ** 2


def random_source(seed, n=6, m=5):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n)), rng.exponential(size=(n, m))


def objective(q, p, d, beta):
    return -p @ logsumexp(-beta * d, b=q, axis=1)


def test_the_example_prints_what_it_says():
    from importlib import import_module

    found = doctest.testmod(import_module("echo_tf.theory.blahut_arimoto"))
    assert found.attempted and not found.failed


@pytest.mark.parametrize("accelerate", [True, False])
@pytest.mark.parametrize("p", [0.5, 0.3, 0.2])
@pytest.mark.parametrize("beta", [1.7, 2.0, 5.0, 30.0])
def test_a_coin_has_the_closed_form(p, beta, accelerate):
    point = blahut_arimoto([1 - p, p], HAMMING, beta, accelerate=accelerate)
    expected = 1 / (1 + np.exp(beta))  # where the slope of h(p) - h(D) is -beta
    assert point.gap <= 1e-9
    assert point.distortion == pytest.approx(expected, abs=1e-6)
    assert point.rate == pytest.approx(bernoulli_rate(expected, p), abs=1e-5)


def test_the_rate_is_zero_up_to_the_phase_transition_and_not_beyond():
    for factor in (0.3, 0.9, 0.999):
        assert blahut_arimoto([0.8, 0.2], HAMMING, factor * np.log(4)).rate < 1e-6
    assert blahut_arimoto([0.8, 0.2], HAMMING, 1.01 * np.log(4)).rate > 1e-3


@pytest.mark.parametrize("beta", [0.6, 1.0, 2.0, 8.0])
def test_a_gaussian_on_a_fine_grid_has_the_gaussian_s_curve(beta):
    point = blahut_arimoto(*gaussian_grid(), beta)
    assert point.distortion == pytest.approx(1 / (2 * beta), abs=1e-5)
    assert point.rate == pytest.approx(gaussian_rate(point.distortion), abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_the_minimum_is_that_of_a_general_optimizer(seed):
    p, d = random_source(seed)
    point = blahut_arimoto(p, d, 3.0)
    found = optimize.minimize(
        lambda q: objective(q, p, d, 3.0),
        np.full(5, 0.2),
        bounds=[(0, 1)] * 5,
        constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
        options={"ftol": 1e-14},
    )
    assert point.rate + 3.0 * point.distortion == pytest.approx(found.fun, abs=1e-7)
    np.testing.assert_allclose(point.marginal, found.x, atol=1e-3)


@pytest.mark.parametrize("accelerate", [True, False])
@pytest.mark.parametrize("max_iterations", [1, 2, 7, 30])
def test_the_gap_bounds_the_distance_from_the_minimum_wherever_it_stops(accelerate, max_iterations):
    p, d = gaussian_grid(64)
    least = blahut_arimoto(p, d, 1.0, tolerance=1e-12).rate_plus_beta_distortion
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        point = blahut_arimoto(p, d, 1.0, max_iterations=max_iterations, accelerate=accelerate)
    assert -1e-11 <= point.rate_plus_beta_distortion - least <= point.gap
    assert point.rate_plus_beta_distortion == pytest.approx(objective(point.marginal, p, d, 1.0), abs=1e-12)
    assert point.rate + point.distortion == pytest.approx(point.rate_plus_beta_distortion)


def test_an_unfinished_run_warns_in_one_line_with_its_gap():
    with pytest.warns(UserWarning, match="stopped after 5 passes with a gap of .* raise max_iterations") as told:
        blahut_arimoto([0.8, 0.2], HAMMING, np.log(4), max_iterations=5, accelerate=False)
    assert "\n" not in str(told[0].message)


def test_acceleration_takes_a_tenth_of_the_passes_and_ends_no_higher():
    p, d = gaussian_grid()
    for source, beta in (((np.array([0.8, 0.2]), HAMMING), np.log(4)), ((p, d), 0.6), ((p, d), 1.0)):
        fast = blahut_arimoto(*source, beta)
        assert fast.gap <= 1e-9
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            slow = blahut_arimoto(*source, beta, accelerate=False, max_iterations=10 * fast.iterations)
        assert slow.gap > 1e-9
        assert fast.rate_plus_beta_distortion <= slow.rate_plus_beta_distortion + 1e-9


def test_steps_without_newton_reach_the_same_minimum(monkeypatch):
    from importlib import import_module

    p, d = gaussian_grid(64)
    least = blahut_arimoto(p, d, 2.0).rate_plus_beta_distortion
    monkeypatch.setattr(import_module("echo_tf.theory.interior_point"), "NEWTON_COLUMNS", -1)
    point = blahut_arimoto(p, d, 2.0, tolerance=2e-6)
    assert point.gap <= 2e-6 and -1e-9 <= point.rate_plus_beta_distortion - least <= point.gap
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = blahut_arimoto(p, d, 2.0, tolerance=2e-6, accelerate=False, max_iterations=point.iterations)
    assert plain.gap > 5 * point.gap


def test_a_given_marginal_gives_the_rate_against_it():
    p, d = random_source(1)
    q = np.random.default_rng(2).dirichlet(np.ones(5))
    channel = q * np.exp(-1.5 * d)
    channel /= channel.sum(axis=1, keepdims=True)
    rate, distortion, gap, marginal, iterations = blahut_arimoto(p, d, 1.5, marginal=q)[:5]
    assert rate == pytest.approx(p @ (channel * np.log(channel / q)).sum(axis=1))
    assert distortion == pytest.approx(p @ (channel * d).sum(axis=1))
    assert gap == 0 and iterations == 0 and np.array_equal(marginal, q / q.sum())
    assert rate + 1.5 * distortion >= blahut_arimoto(p, d, 1.5).rate_plus_beta_distortion


def test_a_marginal_s_zeros_exclude_reproductions_however_near_they_are():
    d = np.array([[0.0, 900.0, 1000.0], [0.0, 1000.0, 900.0]])
    point = blahut_arimoto([0.5, 0.5], d, 1.0, marginal=[0.0, 0.5, 0.5])
    assert point.distortion == pytest.approx(900.0) and point.rate == pytest.approx(np.log(2))


def test_zero_probabilities_and_infinite_distortions_are_as_if_left_out():
    p, d = random_source(3)
    whole = blahut_arimoto(p, d, 2.0)
    wider = np.full((7, 6), np.inf)
    wider[:6, :5] = d
    found = blahut_arimoto(np.append(p, 0.0), wider, 2.0)
    assert found[:2] == pytest.approx(whole[:2], abs=1e-7)
    assert found.marginal[5] < 1e-9
    erasure = np.array([[0.0, np.inf, 1.0], [np.inf, 0.0, 1.0]])  # R(D) = (1 - D) ln 2, cut where the cost of "unknown" is
    assert blahut_arimoto([0.5, 0.5], erasure, 5.0).rate == pytest.approx(np.log(2), abs=1e-7)
    assert blahut_arimoto([0.5, 0.5], erasure, 0.1)[:2] == pytest.approx((0.0, 1.0), abs=1e-6)


def test_large_distortions_and_betas_do_not_underflow():
    for scale in (1.0, 1e5):
        point = blahut_arimoto([0.3, 0.7], scale * HAMMING + 1e4, 1e3)
        assert point.rate == pytest.approx(0.3 * np.log(1 / 0.3) + 0.7 * np.log(1 / 0.7), abs=1e-8)
        assert point.distortion == pytest.approx(1e4)


def test_float32_blocks_reach_a_float64_gap(monkeypatch):
    from importlib import import_module

    module = import_module("echo_tf.theory.blahut_arimoto")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(900, 1, 3)), rng.normal(size=(60, 3))
    d = ((x - y) ** 2).sum(axis=2).astype(np.float32)
    p = rng.dirichlet(np.ones(900))
    whole = blahut_arimoto(p, d.astype(np.float64), 2.0)
    monkeypatch.setattr(module, "BLOCK_BYTES", 50_000)
    monkeypatch.setattr(module, "CACHE_BYTES", 0)
    blocks = blahut_arimoto(p, d, 2.0)
    assert blocks.gap <= 1e-9
    assert blocks.rate_plus_beta_distortion == pytest.approx(whole.rate_plus_beta_distortion, abs=2e-9)


def test_a_curve_is_convex_falling_of_slope_minus_beta_and_in_the_order_asked():
    p, d = gaussian_grid(128)
    betas = np.array([4.0, 0.6, 1.0, 2.0, 0.7, 9.0])
    curve = rate_distortion_curve(p, d, betas)
    assert list(curve.columns) == ["beta", "rate_nats", "distortion", "gap_nats", "iterations"]
    assert curve.beta.tolist() == betas.tolist() and (curve.gap_nats <= 1e-9).all()
    for _, row in curve.iterrows():
        alone = blahut_arimoto(p, d, row.beta)
        assert row.rate_nats + row.beta * row.distortion == pytest.approx(alone.rate_plus_beta_distortion, abs=2e-9)
    curve = curve.sort_values("beta")
    slopes = np.diff(curve.rate_nats) / np.diff(curve.distortion)
    assert np.all(-curve.beta[1:] <= slopes) and np.all(slopes <= -curve.beta[:-1])


def test_a_curve_for_a_given_marginal_lies_above():
    p, d = random_source(5)
    betas = [0.5, 2.0, 8.0]
    fixed = rate_distortion_curve(p, d, betas, marginal=np.full(5, 0.2))
    best = rate_distortion_curve(p, d, betas)
    assert np.all(fixed.rate_nats + betas * fixed.distortion >= best.rate_nats + betas * best.distortion)
    assert (fixed.gap_nats == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.6], HAMMING, 1.0), "p_x must add up to 1"),
        (([1.5, -0.5], HAMMING, 1.0), "p_x must be probabilities"),
        (([0.5, np.nan], HAMMING, 1.0), "p_x must be probabilities"),
        (([[0.5, 0.5]], HAMMING, 1.0), "p_x must be of the shape"),
        (([0.5, 0.5], np.eye(3), 1.0), "distortion must be of the shape"),
        (([0.5, 0.5], [0.0, 1.0], 1.0), "distortion must be of the shape"),
        (([0.5, 0.5], [[0, np.nan], [1, 0]], 1.0), "got NaN"),
        (([0.5, 0.5], [[0, 1], [np.inf, np.inf]], 1.0), "row 1 all infinite"),
        (([0.5, 0.5], HAMMING, 0.0), "at beta = 0 the rate is 0"),
        (([0.5, 0.5], HAMMING, -1.0), "beta must be a positive"),
        (([0.5, 0.5], HAMMING, [1.0, 2.0]), "beta must be a positive"),
        (([0.5, 0.5], HAMMING, 1.0, [0.5, 0.4]), "marginal must add up to 1"),
        (([0.5, 0.5], HAMMING, 1.0, [1.0]), "marginal must be of the shape"),
        (([0.5, 0.5], HAMMING, 1.0, None, 0.0), "tolerance must be"),
        (([0.5, 0.5], HAMMING, 1.0, None, 1e-9, 0), "max_iterations must be"),
        (([0.5, 0.5], HAMMING, 1.0, None, 1e-9, "many"), "max_iterations must be"),
        (("fair", HAMMING, 1.0), "p_x must be probabilities"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as refused:
        blahut_arimoto(*arguments)
    assert "\n" not in str(refused.value)
