"""Chains that start at shared draws of the prior, by their weights at an inverse temperature of each image's own."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from echo_tf import ais
from echo_tf.ais import Annealing, Sampler, StepSizes, Target, sigmoid_schedule
from echo_tf.ais.bidirectional import bound_of, rounds_of_bounds, simulated
from echo_tf.ais.plan import plan
from echo_tf.ais.starts import Starts
from echo_tf.distortions import Gaussian
from echo_tf.tables.modes import summary
from tests.annealed_cases import BETTER, Linear, finished

STARTS = Sampler(**BETTER, resample_below=0.5, preconditioner="pooled", starts=20_000)


def case():
    return Linear(latents=3, scales=(4.0, 1.0))


def test_the_curve_of_the_draws_is_the_closed_form():
    linear, betas = case(), np.array([0.05, 0.1, 0.02, 0.2])
    log_z, distortion, deviation, effective = Starts(linear.target(), 200_000, 3).curve(betas)
    exact_z, exact_d = linear.exact(betas)
    assert np.allclose(log_z, np.diag(exact_z), atol=0.03) and np.allclose(distortion, np.diag(exact_d), atol=0.1)
    slope = (linear.exact(betas * 1.001)[1] - linear.exact(betas * 0.999)[1]).diagonal() / (0.002 * betas)
    assert np.allclose(deviation**2, -slope, rtol=0.05)  # the variance of d is minus the slope of its mean
    assert (effective > 1_000).all() and (effective < 200_000).all()


def test_the_floor_of_an_image_is_where_enough_draws_carry_the_weight():
    target = case().target()
    starts = Starts(target, 20_000, 3)
    floors = starts.floors(20, 1e6)
    assert (starts.curve(floors)[3] >= 100).all() and (starts.curve(floors * 1.3)[3] < 100).all()
    assert np.ptp(np.log(floors)) > 0.1  # each image has its own
    assert (starts.floors(20, 1e-3) == 1e-3).all() and (starts.floors(20_000, 1e6) == 0).all()


def test_chains_start_at_draws_of_the_posterior_at_the_floor():
    linear = case()
    starts = Starts(linear.target(), 100_000, 3)
    floors = np.array([0.1, 0.2, 0.05, 0.0])
    codes = starts.drawn(floors, 4_000, np.random.default_rng(0))
    for j, beta in enumerate(floors):
        precision = np.eye(3) + beta * linear.weights.T @ linear.weights
        mean = beta * np.linalg.solve(precision, linear.weights.T @ (linear.images[j] - linear.bias))
        assert np.allclose(codes[:, j].mean(0), mean, atol=0.06)
        assert np.allclose(np.cov(codes[:, j].T), np.linalg.inv(precision), atol=0.08)


def test_the_way_back_through_the_draws_gives_one_over_z_on_average():
    rng, number, beta, x = np.random.default_rng(0), 5, 2.0, 1.5  # d = (x - z)^2, z ~ N(0, 1), five draws alone
    variance = 1 / (1 + 2 * beta)
    z = rng.normal(2 * beta * x * variance, variance**0.5, 100_000)  # exact draws of the posterior
    starts = Starts.__new__(Starts)
    starts.codes = np.empty((number, 1))
    starts.distortion = (x - rng.normal(size=(number, len(z)))) ** 2  # draws of its own for each
    found = np.exp(-starts.returned(np.full(len(z), beta), (x - z)[None] ** 2)[0])
    exact = 1 / (variance**0.5 * np.exp(-beta * x**2 * variance))
    assert abs(found.mean() - exact) < 4 * found.std() / len(z) ** 0.5 and found.std() / len(z) ** 0.5 < 0.01 * exact


def narrow(images=((1.0,), (-1.0,))):
    """An image whose mode has 0.5 % of the prior's mass and no slope that leads to it, and one for which the rest serves."""
    return Target(lambda z: tf.tanh(50 * (z - 2.6)), np.array(images), latent_dim=1)


def test_no_narrow_mode_is_missed():
    schedule = sigmoid_schedule(300, 50.0, 10)
    exact = np.array([norm.logsf(2.6), norm.logcdf(2.6)])  # but for the edge, 0.01 wide
    found = finished(Annealing(narrow(), schedule, STARTS._replace(starts=100_000), 20, 1)).result().log_z[-1]
    assert np.allclose(found, exact, atol=0.3)
    without = finished(Annealing(narrow(), schedule, STARTS._replace(starts=0), 20, 1)).result().log_z[-1]
    assert without[0] < exact[0] - 50 and abs(without[1] - exact[1]) < 0.3


def test_a_curve_is_exact_below_and_above_the_floors_and_goes_on_where_it_was_stopped():
    linear, schedule = case(), sigmoid_schedule(600, 20.0, 12)
    table = finished(Annealing(linear.target(), schedule, STARTS, 40, 1)).tuned()
    assert table.floors.shape == (4,) and (table.floors > schedule.recorded[0]).all()
    round_ = Annealing(linear.target(), schedule, STARTS, 40, 2, table)
    for _ in range(5):
        round_.advance()
    again = Annealing(linear.target(), schedule, STARTS, 40, 2, table)
    again.restore(round_.done, round_.arrays())
    whole, continued = finished(round_).result(), finished(again).result()
    assert all(np.array_equal(a, b) for a, b in zip(whole, continued))
    log_z, distortion = linear.exact(whole.betas)
    assert np.allclose(whole.log_z, log_z, atol=0.3) and np.allclose(whole.distortion, distortion, atol=1.0)
    below = whole.betas[:, None] < table.floors
    assert below.any() and np.allclose(whole.log_z[below], log_z[below], atol=0.25)
    assert (whole.ess[below] <= 40).all() and (whole.ess[below] > 20).all()


def test_bounds_from_both_sides_meet_at_log_z():
    linear = Linear(latents=2, scales=(3.0, 1.0))
    settings = dict(num_temperatures=200, num_betas=10, max_beta=2.0, num_chains=10, starts=2_000)
    found = ais.bidirectional_gap(linear.decoder("float32"), [0.01, 2.0], num_images=6, preset="smoke", **settings)
    assert (found["gap_nats"].abs() < 4 * found["gap_standard_error_nats"] + 0.1).all()


def test_bounds_through_the_draws_are_unbiased_estimates_from_both_sides():
    linear, beta, number = Linear(latents=2, pixels=3, scales=(2.0,)), 1.0, 200
    bare = Target(linear.decoder(), None, distortion=Gaussian(variance=1.0), precision="float64")
    way = sigmoid_schedule(6, beta, 2)
    chosen = plan("smoke", num_chains=2, leapfrog_steps=3, preconditioner="none", starts=20)
    floors = np.linspace(0.05, 0.5, number)
    table = StepSizes(way.recorded, way.recorded, np.full((2, number), 0.4), np.ones(2), "", "", 0, floors=floors)
    found = []
    for seed in range(20):  # all images of one share their draws
        linear.images, codes = simulated(bare, beta, number, [seed, 0])
        exact = linear.exact([beta])[0][0]
        rounds = rounds_of_bounds(bare.of(linear.images), chosen, way, [seed, 0], codes)
        lower, upper = bound_of(finished(rounds.lower(table))), bound_of(finished(rounds.upper(table)), upper=True)
        found.append([np.exp(lower - exact).mean(), np.exp(exact - upper).mean()])
    mean, error = np.mean(found, 0), np.std(found, 0) / 20**0.5
    assert (np.abs(mean - 1) < 4 * error).all() and (error < 0.05).all()


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="starts must be 0 or at least 10 a chain, here 80, got 79"):
        plan("smoke", starts=79, num_chains=8)


def test_images_that_all_chains_miss_are_counted_against_the_best_run_and_left_out_of_the_mean():
    def run(label, log_z):
        settings = SimpleNamespace(label=label, preset="short", max_beta=200.0)
        return "VAE2", [SimpleNamespace(settings=settings, arrays=lambda name: {"log_z": np.array([[9.0] * 3, log_z])})]

    table = summary(
        [run("momentum", [-10.1, -310, -10]), run("momentum", [-16, -10, -10.3]), run("starts", [-10, -10.6, -10.2])]
    )
    assert list(table["sampler"]) == ["momentum", "starts"] and list(table["seeds"]) == [2, 1]
    assert list(table["lost"]) == [2, 0] and list(table["images"]) == [3, 3]
    assert list(table["worst_below_best_nats"]) == pytest.approx([300, 0.6])
    assert list(table["mean_below_best_nats"]) == pytest.approx([0.4 / 4, 0.8 / 3])
