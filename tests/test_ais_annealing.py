"""Annealing against exact curves, its weights, its step sizes, and what stops and continues."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import logsumexp

from echo_tf.ais import Annealing, Sampler, StepSizes, Target, sigmoid_schedule
from echo_tf.ais.averages import weighed
from echo_tf.ais.preconditioning import factor_of
from echo_tf.ais.references import grid
from echo_tf.ais.schedule import geometric_schedule
from tests.annealed_cases import BETTER, Linear, dense, finished


def two_rounds(target, schedule, sampler, chains, seed=0):
    table = finished(Annealing(target, schedule, sampler, chains, seed)).tuned()
    return finished(Annealing(target, schedule, sampler, chains, seed + 1, table))


@pytest.mark.parametrize("sampler, temperatures", [(Sampler("tfp_hmc", 10), 400), (Sampler(**BETTER), 1900)])
def test_log_z_and_distortion_of_a_linear_decoder_are_the_closed_form_s(sampler, temperatures):
    case = Linear()
    found = two_rounds(case.target(), sigmoid_schedule(temperatures, 20.0, 12), sampler, 24).result()
    log_z, distortion = case.exact(found.betas)
    assert np.abs((found.log_z - log_z).mean(axis=1)).max() < 0.4
    assert np.abs((found.distortion - distortion).mean(axis=1))[-6:].max() < 0.15
    assert np.allclose(found.rate, -found.log_z - found.betas[:, None] * found.distortion)
    assert (found.ess[-1] > 3).all() and found.failed.sum() == 0


def test_log_z_of_two_latents_is_the_grid_s_up_to_high_beta():
    decoder, rng = dense([2, 16, 20], ["tanh", "sigmoid"]), np.random.default_rng(0)
    images = decoder.predict(rng.normal(size=(3, 2)), verbose=0) + rng.normal(0, 0.05, (3, 20))
    target = Target(decoder, images.clip(0, 1))
    found = two_rounds(target, sigmoid_schedule(1900, 1000.0, 10), Sampler(**BETTER, resample_below=0.5), 32).result()
    exact = grid(target, found.betas)
    assert np.abs((found.log_z - exact.log_z).mean(1)).max() < 0.5
    assert np.abs((found.distortion - exact.distortion).mean(1))[-4:].max() < 0.02


def test_a_preconditioner_makes_wide_and_narrow_directions_relax_alike():
    case = Linear(latents=12, images=6, scales=tuple(np.geomspace(30, 0.01, 12)))
    errors = {}
    for kind in ("none", "pooled"):
        sampler = Sampler(**BETTER, preconditioner=kind, resample_below=0.5)
        found = two_rounds(case.target(), geometric_schedule(500, 200.0, 25, 1e-4), sampler, 30).result()
        errors[kind] = np.abs((found.log_z - case.exact(found.betas)[0]).mean(axis=1)).max()
    assert errors["pooled"] < 0.5 < errors["none"] / 3


def test_the_factor_of_a_preconditioner_is_that_of_the_weighted_covariance_within_images():
    rng = np.random.default_rng(0)
    root = np.array([[2.0, 0, 0], [1.0, 0.5, 0], [0.3, 0.2, 0.1]])
    codes = rng.normal(size=(20_000, 2, 3)) @ root.T
    codes[:, 1] += 100.0  # images are apart
    weights = np.full((20_000, 2), 1 / 20_000)
    found = factor_of(codes, weights)
    assert np.allclose(found @ found.T, root @ root.T / np.linalg.det(root @ root.T) ** (1 / 3), rtol=0.05, atol=0.03)
    weights[:, 1] = 0.0  # an image without finite weights
    codes[:, 1] *= 1e6
    assert np.allclose(factor_of(codes, weights), found, rtol=0.05, atol=0.03)
    assert factor_of(codes[:1], np.ones((1, 2))) is None


def stale_chain(target, betas, chains, step_size):
    """TFP's own annealed importance sampling, which hands a step what the step before has cached at another beta."""
    images = target.tiled(chains)

    @tf.function
    def log_weights():
        return tfp.mcmc.sample_annealed_importance_chain(
            num_steps=len(betas) - 1,
            proposal_log_prob_fn=target.log_prior,
            target_log_prob_fn=lambda z: target.log_prior(z) - betas[-1] * target.distortion(z, images),
            current_state=target.sample_prior(chains * target.num_images, (0, 1)),
            make_kernel_fn=lambda log_prob: tfp.mcmc.HamiltonianMonteCarlo(log_prob, step_size, 3),
            seed=(1, 2),
        )[1]

    return weighed(log_weights().numpy().reshape(chains, -1))[0].mean()


@pytest.mark.parametrize("max_beta, agree", [(0.02, True), (8.0, False)])
def test_a_fresh_kernel_at_every_beta_is_right_where_tfp_s_chain_is_and_where_it_is_not(max_beta, agree):
    case, steps = Linear(), 200
    target = case.target()
    betas = np.linspace(0, max_beta, steps + 1)
    schedule = sigmoid_schedule(steps + 1, max_beta, 10)._replace(betas=betas)
    widths = np.full((10, target.num_images), 0.15)
    table = StepSizes(schedule.recorded, schedule.recorded, widths, np.ones(10), target.digest, "", 0)
    fresh = finished(Annealing(target, schedule, Sampler("tfp_hmc", 3), 30, 1, table)).result().log_z[-1].mean()
    exact = case.exact([max_beta])[0].mean()
    stale = stale_chain(target, betas, 30, 0.15)
    assert abs(fresh - exact) < 0.5
    assert abs(stale - exact) < 0.5 if agree else abs(stale - exact) > 5


def test_float64_increments_keep_what_float32_differences_lose():
    rng = np.random.default_rng(0)
    target = Target(
        dense([2, 16, 60], ["tanh", "sigmoid"]),
        rng.random((2, 60)) * 0.2 + 1.0 * (rng.random((2, 60)) < 0.4),
        check_range=False,
    )
    schedule, sampler = sigmoid_schedule(1500, 36_000.0, 10), Sampler(**BETTER)
    table = finished(Annealing(target, schedule, sampler, 24, 0)).tuned()
    double, single = (
        finished(Annealing(target, schedule, sampler._replace(weights=weights), 24, 1, table))
        for weights in ("float64", "float32")
    )
    assert (double.result().distortion[-1] > 2).all()  # of images that the decoder cannot give, where the energies are large
    assert np.array_equal(double.point.z, single.point.z)
    error = (single.log_weights.numpy() - double.log_weights.numpy()).reshape(24, -1)
    assert error.std(axis=0).max() > 0.05


def test_a_moving_average_keeps_acceptance_where_the_cumulative_rule_loses_it():
    target, schedule = Linear().target(), sigmoid_schedule(900, 200.0, 30)
    lowest = {}
    for rule in ("moving_average", "cumulative"):
        found = finished(Annealing(target, schedule, Sampler("tfp_hmc", 5, rule=rule), 16, 0)).result()
        lowest[rule] = found.acceptance.mean(1)[found.betas > 1].min()
    assert lowest["moving_average"] > 0.5 and lowest["cumulative"] < 0.2


def test_a_round_that_is_stopped_anywhere_ends_with_the_same_bits():
    target, schedule = Linear().target(), sigmoid_schedule(120, 50.0, 9)
    sampler = Sampler(**BETTER, resample_below=0.9, preconditioner="pooled")
    whole = finished(Annealing(target, schedule, sampler, 8, 3))
    for stop in (1, 5, 8):
        first = Annealing(target, schedule, sampler, 8, 3)
        for _ in range(stop):
            first.advance()
        second = Annealing(target, schedule, sampler, 8, 3)
        second.restore(first.done, first.arrays())
        for one, other in zip(finished(second).result(), whole.result()):
            assert np.array_equal(one, other)


def test_the_checkpoint_of_another_round_is_refused():
    case, schedule = Linear(), sigmoid_schedule(30, 5.0, 3)
    annealing = Annealing(case.target(), schedule, Sampler(**BETTER), 4, 0)
    annealing.advance()
    case.weights = case.weights * 1.01
    for other in (
        Annealing(case.target(), schedule, Sampler(**BETTER), 4, 0),
        Annealing(annealing.target, sigmoid_schedule(30, 6.0, 3), Sampler(**BETTER), 4, 0),
        Annealing(annealing.target, schedule, Sampler(**BETTER), 4, 1),
    ):
        with pytest.raises(ValueError, match="of another decoder, schedule, sampler"):
            other.restore(1, annealing.arrays())


def test_a_chain_whose_distortion_is_not_finite_leaves_the_others_alone():
    def broken(where):
        def distortion(x, output):
            d = tf.reduce_sum((x - output) ** 2, -1)
            return tf.where(tf.reduce_sum(output, -1) > where, np.nan, d)

        return distortion

    decoder, images = dense([3, 10], ["linear"]), np.zeros((2, 10))
    schedule, sampler = sigmoid_schedule(60, 0.5, 4), Sampler(**BETTER)
    good = finished(Annealing(Target(decoder, images, distortion=broken(np.inf)), schedule, sampler, 12, 0))
    sums = decoder.predict(np.asarray(good.point.z), verbose=0).sum(1)
    start = Annealing(Target(decoder, images, distortion=broken(np.inf)), schedule, sampler, 12, 0).point.z
    limit = float(np.sort(decoder.predict(np.asarray(start), verbose=0).sum(1))[-2])  # the highest chain is broken at once
    table = good.tuned()
    bad, good = (
        finished(Annealing(Target(decoder, images, distortion=broken(where)), schedule, sampler, 12, 1, table))
        for where in (limit, np.inf)
    )
    met = ~np.isfinite(bad.log_weights.numpy()) | (bad.point.z.numpy() != good.point.z.numpy()).any(axis=1)
    assert 0 < met.sum() < len(sums) and bad.result().failed.sum() > 0
    assert np.array_equal(bad.log_weights.numpy()[~met], good.log_weights.numpy()[~met])
    assert np.isfinite(bad.result().log_z).all() and np.isfinite(bad.result().distortion).all()


def test_the_prior_s_own_gradient_moves_the_chains():
    tfd = tfp.distributions
    mixture = tfd.MixtureSameFamily(
        tfd.Categorical(probs=[0.3, 0.7]), tfd.MultivariateNormalDiag([[-3.0, 0.0], [2.0, 1.0]], [[0.5, 1.0], [1.0, 0.3]])
    )
    target = Target(dense([2, 5], ["linear"]), np.zeros((2, 5)), prior=mixture)
    z = tf.constant(np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32))
    point = target.at(z, target.tiled(3))
    step = 1e-3
    for axis in range(2):
        shift = np.eye(2, dtype=np.float32)[axis] * step
        slope = (mixture.log_prob(z + shift) - mixture.log_prob(z - shift)) / (2 * step)
        assert np.allclose(point.log_prior_gradient[:, axis], slope, atol=2e-2)


def test_a_mixture_prior_gives_the_log_z_of_its_components():
    case, tfd = Linear(latents=2, scales=(1.0, 0.5)), tfp.distributions
    locations, scales, probabilities = np.array([[-1.0, 0.0], [2.0, 1.0]]), np.array([0.5, 1.0]), np.array([0.3, 0.7])
    components = tfd.MultivariateNormalDiag(locations, np.repeat(scales[:, None], 2, 1))
    prior = tfd.MixtureSameFamily(tfd.Categorical(probs=probabilities), components)
    found = two_rounds(case.target(prior=prior), sigmoid_schedule(900, 3.0, 6), Sampler(**BETTER), 30).result()
    each = []
    for loc, scale in zip(locations, scales):
        moved = Linear(latents=2, scales=(1.0, 0.5))
        moved.images = case.images - loc @ moved.weights.T
        moved.weights = moved.weights * scale
        each.append(moved.exact([3.0])[0][0])
    exact = logsumexp(each, axis=0, b=probabilities[:, None])
    assert np.allclose(found.log_z[-1], exact, atol=0.5)


def test_resampling_keeps_log_z_and_evens_the_weights():
    case, schedule = Linear(), sigmoid_schedule(300, 20.0, 12)
    sampler = Sampler(**BETTER)
    table = finished(Annealing(case.target(), schedule, sampler, 40, 0)).tuned()
    found = finished(Annealing(case.target(), schedule, sampler._replace(resample_below=0.99), 40, 1, table)).result()
    assert np.abs((found.log_z - case.exact(found.betas)[0]).mean(1)).max() < 1.0
    plain = finished(Annealing(case.target(), schedule, sampler, 40, 1, table)).result()
    assert found.ess[6:].mean() > 1.3 * plain.ess[6:].mean()


def test_weights_of_equal_logs_are_equal_and_dead_chains_count_nothing():
    log_z, weights, ess = weighed(np.array([[0.0, -np.inf], [0.0, -np.inf], [-np.inf, -np.inf]]))
    assert log_z[0] == pytest.approx(np.log(2 / 3)) and log_z[1] == -np.inf
    assert np.allclose(weights[:, 0], [0.5, 0.5, 0]) and np.allclose(ess, [2, 0])


def test_step_sizes_between_records_are_log_linear():
    table = StepSizes(np.array([1.0, 100.0]), np.array([1.0, 100.0]), np.array([[0.4], [0.04]]), np.ones(2), "t", "s", 1)
    assert np.allclose(table.at(np.array([0.01, 1, 10, 100]))[:, 0], [0.4, 0.4, 0.4 / 10**0.5, 0.04])
    copy = StepSizes.of_arrays({k: np.asarray(v) for k, v in table.arrays().items()})
    assert copy.digest == table.digest and (copy.target, copy.settings, copy.seed) == ("t", "s", 1)
    for wrong, words in (
        (("u", "s", 2), "another decoder"),
        (("t", "r", 2), "another schedule"),
        (("t", "s", 1), "another seed"),
    ):
        with pytest.raises(ValueError, match=words):
            table.check(*wrong)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"transition": "nuts"}, "transition must be one of"),
        ({"leapfrog_steps": 0}, "leapfrog_steps must be an integer of 1 or more"),
        ({"memory": 1.0}, "memory must be a number in"),
        ({"rule": "x"}, "rule must be one of"),
        ({"preconditioner": "image"}, "preconditioner must be one of"),
        ({"preconditioner": "pooled"}, "needs the transition persistent"),
    ],
)
def test_samplers_that_cannot_be_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        Annealing(Linear().target(), sigmoid_schedule(5, 1.0, 2), Sampler(**given), 4)
