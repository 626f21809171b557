"""What rounds say of themselves: acceptance, step sizes in units of the prior, what is recorded, bounds from both sides."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from echo_tf import ais
from echo_tf.ais import Annealed, Annealing, Sampler, StepSizes, Target, sigmoid_schedule
from echo_tf.ais.averages import Exact, between
from echo_tf.ais.bidirectional import Bounds, bound_of, rounds_of_bounds, row, simulated
from echo_tf.ais.curve import acceptance_range, out_of_range
from echo_tf.ais.plan import plan
from echo_tf.ais.step_sizes import adapted, scale_of
from echo_tf.distortions import Bernoulli, Gaussian
from tests.annealed_cases import BETTER, Linear, dense, finished


def annealed(acceptance, step_sizes):
    acceptance, step_sizes = np.array(acceptance, float), np.array(step_sizes, float)
    others = {name: np.zeros_like(acceptance) for name in Annealed._fields}
    return Annealed(
        **{**others, "betas": np.arange(1.0, len(acceptance) + 1), "acceptance": acceptance, "step_sizes": step_sizes}
    )


def test_acceptance_is_judged_image_by_image():
    one_stuck = annealed([[0.95] * 9 + [0.0]], [[0.1] * 10])
    assert out_of_range(one_stuck, 0.9, 1.0).tolist() == [[False] * 9 + [True]]
    assert acceptance_range(0.65) == pytest.approx((0.5, 0.8)) and acceptance_range(0.9) == pytest.approx((0.75, 0.975))


def test_too_many_proposals_taken_are_noticed_but_at_steps_as_long_as_the_prior_is_wide():
    found = annealed([[1.0, 1.0], [0.9, 0.98]], [[0.1, 0.5], [0.1, 0.1]])
    assert out_of_range(found, 0.9, 1.0).tolist() == [[True, False], [False, True]]
    assert out_of_range(found, 0.9, 1000.0).tolist() == [[True, True], [False, True]]
    of_chains = annealed([[1.0, 1.0]], [[0.1, 0.5, 0.2, 0.5]])  # two chains of two images
    assert out_of_range(of_chains, 0.9, 1.0).tolist() == [[True, False]]


@pytest.mark.parametrize(
    "rule, factor, rate", [("moving_average", np.exp(0.2 * (0.73 - 0.6)), 0.73), ("cumulative", 1.02, 0.76)]
)
def test_a_step_of_tuning_follows_its_rule_within_limits_in_units_of_a_scale(rule, factor, rate):
    sizes, mean = tf.constant([1e-9, 2.0, 1e9]), tf.constant([0.7] * 3)
    found, rates = adapted(sizes, mean, 5, tf.constant([1.0] * 3), rule, 0.6, 10.0)
    assert np.allclose(found, [1e-3, 2.0 * factor, 5.0]) and np.allclose(rates, rate)
    fewer, _ = adapted(sizes, mean, 5, tf.constant([0.0] * 3), rule, 0.65, 10.0)
    assert float(fewer[1]) == pytest.approx(2 * (0.98 if rule == "cumulative" else np.exp(0.2 * (0.63 - 0.65))))


def test_between_known_betas_log_z_and_d_are_the_closed_form_s_down_to_beta_0():
    case, known = Linear(), np.geomspace(0.01, 100, 40)
    betas = np.sort(np.append(np.geomspace(0.012, 95, 200), [0.001, 0.005, 0.01, 100.0]))
    (log_z, distortion), (exact_log_z, exact) = between(betas, known, *case.exact(known)), case.exact(betas)
    assert np.abs(log_z - exact_log_z).max() < 2e-3
    assert np.allclose(distortion[betas >= 0.01], exact[betas >= 0.01], rtol=1e-3)
    assert np.allclose(distortion, exact, rtol=1e-2)
    rate, exact_rate = (-one - betas[:, None] * d for one, d in ((log_z, distortion), (exact_log_z, exact)))
    assert np.abs(rate - exact_rate).max() < 5e-3 and (rate > 0).all()
    at_known = between(known, known, *case.exact(known))
    assert np.allclose(at_known, case.exact(known), rtol=1e-12)


def test_below_a_part_s_first_beta_log_z_goes_to_0():
    log_z, distortion = between(np.array([0.0, 1e-3]), np.array([0.0146]), np.array([[-0.684]]), np.array([[44.1]]))
    rate = -log_z[1, 0] - 1e-3 * distortion[1, 0]
    assert log_z[0, 0] == 0 and log_z[1, 0] == pytest.approx(-0.0498, rel=0.02)
    assert rate == pytest.approx(0.0002, abs=5e-5) and distortion[1, 0] == pytest.approx(49.5, rel=0.02)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"values": np.array([[0.1], [np.nan]])}, "values .* got 1 that are not"),
        ({"values": np.array([[0.1], [-0.1]])}, "values .* got 1 that are not"),
        ({"values": np.array([[0.0], [np.inf]])}, "values .* got 2 that are not"),
        ({"values": np.array([[0.1]])}, "a row a beta"),
        ({"centers": np.array([1.0, np.nan])}, "centers"),
        ({"deviations": np.array([1.0, 0.0])}, "deviations"),
        ({"betas": np.zeros(0)}, "betas .* got none"),
        ({"factors": np.full((2, 1, 1), np.nan)}, "preconditioners"),
    ],
)
def test_a_table_of_step_sizes_that_no_round_can_have_found_is_refused(wrong, words):
    good = StepSizes(np.array([1.0, 2.0]), np.array([1.0, 2.0]), np.full((2, 1), 0.1), np.ones(2), "t", "s", 1)
    good.check("t", "s", 2)
    with pytest.raises(ValueError, match=words):
        good._replace(**wrong).check("t", "s", 2)
    target = Linear(latents=4, images=1).target()
    with pytest.raises(ValueError, match=words):
        Annealing(target, sigmoid_schedule(9, 1.0, 2), Sampler(), 4, 0, good._replace(**wrong))


def test_a_table_of_step_sizes_that_lacks_a_part_is_refused():
    with pytest.raises(ValueError, match="betas, .*, but centers, values, deviations, target, settings, seed are missing"):
        StepSizes.of_arrays({"betas": np.ones(1)})


@pytest.mark.parametrize("measure, variance", [("squared_error", 1 / (2 * 5.0)), (Gaussian(variance=0.3), 0.3 / 5.0)])
def test_simulated_images_are_of_the_variance_of_their_density(measure, variance):
    target = Target(dense([2, 400], ["linear"]), None, distortion=measure)
    images, codes = simulated(target, 5.0, 30, 0)
    noise = images - target.decoded(codes).numpy()
    assert noise.mean() == pytest.approx(0, abs=0.01) and noise.var() == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize("from_logits", [True, False])
def test_simulated_images_of_a_bernoulli_density_have_its_means(from_logits):
    probabilities = np.array([0.02, 0.3, 0.9])
    bias = np.log(probabilities / (1 - probabilities)) if from_logits else probabilities
    decoder = dense([1, 3], ["linear" if from_logits else "relu"], [np.zeros((1, 3)), bias])
    images, _ = simulated(Target(decoder, None, distortion=Bernoulli(from_logits=from_logits)), 1.0, 3000, 0)
    assert np.allclose(images.mean(0), probabilities, atol=0.03) and set(np.unique(images)) == {0.0, 1.0}


def test_a_decoder_of_logits_stands_for_the_images_of_its_means():
    logits, x = np.array([4.0, -4.0, 4.0]), np.array([[1.0, 0.0, 1.0]])
    decoder = dense([2, 3], ["linear"], [np.zeros((2, 3)), logits])
    means = ais.of_means(decoder, Bernoulli())
    for precision in ("float32", "float64"):
        target = Target(means, x, precision=precision)
        found = target.distortion(tf.zeros((1, 2), precision), target.images)
        assert float(found[0]) == pytest.approx(3 / (1 + np.exp(4.0)) ** 2, rel=1e-4)  # 0.00097, of the logits 34.0
    with pytest.raises(ValueError, match="lies in 0..1: scale them"):
        Target(means, x * 2)
    assert ais.of_means(decoder, Gaussian(variance=1.0)) is decoder
    assert ais.of_means(decoder, Bernoulli(from_logits=False)) is decoder


def test_what_is_recorded_is_that_of_weighted_chains():
    case = Linear()
    schedule = sigmoid_schedule(20, 3.0, 2)
    table = StepSizes(schedule.recorded, schedule.recorded, np.full((2, 4), 0.1), np.ones(2), case.target().digest, "", 0)
    annealing = finished(Annealing(case.target(), schedule, Sampler(**BETTER), 6, 1, table))
    log_w = annealing.log_weights.numpy().reshape(6, 4)
    d = annealing.point.distortion.numpy().reshape(6, 4)
    found = annealing.result()
    for j in range(4):
        w = np.exp(log_w[:, j]) / np.exp(log_w[:, j]).sum()
        mean = np.average(d[:, j], weights=w)
        assert found.log_z[-1, j] == pytest.approx(np.log(np.mean(np.exp(log_w[:, j]))))
        assert found.distortion[-1, j] == pytest.approx(mean) and abs(mean - d[:, j].mean()) > 1e-3
        assert found.deviation[-1, j] == pytest.approx(np.average((d[:, j] - mean) ** 2, weights=w) ** 0.5)
        assert found.ess[-1, j] == pytest.approx(1 / (w**2).sum())
    assert np.allclose(found.step_sizes, 0.1)


def test_what_moves_chains_back_knows_nothing_of_where_they_start_and_no_two_rounds_share_a_seed():
    target = Linear().target()
    chosen, way = plan("smoke", num_temperatures=12, tuning_temperatures=12), sigmoid_schedule(12, 1.0, 4)
    every = [
        rounds_of_bounds(target, chosen, way, [3, i], np.full((4, 8), start)) for i, start in ((0, 1.0), (0, 2.0), (1, 1.0))
    ]
    tables = [finished(rounds.tuning()).tuned() for rounds in every]
    assert tables[0].digest == tables[1].digest != tables[2].digest
    uppers = [rounds.upper(table) for rounds, table in zip(every, tables)]
    assert not np.array_equal(uppers[0].point.z, uppers[1].point.z) and uppers[0].schedule.recorded[-1] == 0
    seeds = [(table.seed, rounds.lower(table).seed, upper.seed) for rounds, table, upper in zip(every, tables, uppers)]
    assert seeds[0] == seeds[1] and len({*seeds[0], *seeds[2]}) == 6


def test_bounds_of_log_z_are_unbiased_estimates_from_both_sides():
    case, beta, number = Linear(latents=2, pixels=3, scales=(2.0,)), 1.0, 3000  # simulated images: as many replicates
    bare = Target(case.decoder(), None, distortion=Gaussian(variance=1.0), precision="float64")
    case.images, codes = simulated(bare, beta, number, [0, 0])
    exact = case.exact([beta])[0][0]
    chosen = plan("smoke", num_chains=4, resample_below=0.7, leapfrog_steps=3, preconditioner="none", starts=0)
    way = sigmoid_schedule(8, beta, 4)
    rounds = rounds_of_bounds(bare.of(case.images), chosen, way, [0, 0], codes)
    table = StepSizes(way.recorded, way.recorded, np.full((4, number), 0.4), np.ones(4), "", "", 0)
    errors = bound_of(finished(rounds.lower(table))) - exact, bound_of(finished(rounds.upper(table)), upper=True) - exact
    for side, error in zip((-1, 1), errors):
        ratio = np.exp(-side * error)  # Z found / Z from below, Z / Z found from above: of mean 1
        spread = 1 / len(error) ** 0.5
        assert side * error.mean() > 5 * error.std() * spread
        assert ratio.mean() == pytest.approx(1, abs=4 * ratio.std() * spread) and ratio.std() * spread < 0.03


def scaled(case, scale, precision="float64"):
    decoder = dense(case.weights.T.shape, ["linear"], [case.weights.T / scale, case.bias], precision)
    prior = tfp.distributions.MultivariateNormalDiag(scale_diag=np.full(case.weights.shape[1], scale, precision))
    return Target(decoder, case.images, prior, Gaussian(variance=1.0), precision=precision)


def test_one_problem_in_codes_of_other_units_gives_the_same_numbers():
    case, schedule = Linear(latents=3, scales=(4.0, 1.0)), sigmoid_schedule(300, 100.0, 10)
    assert scale_of(case.target()) == 1.0 and scale_of(scaled(case, 1000.0)) == pytest.approx(1000, rel=0.02)
    found, tables = {}, {}
    for scale in (1.0, 1024.0):
        target = scaled(case, scale)
        tables[scale] = finished(Annealing(target, schedule, Sampler("tfp_hmc", 5), 20, 0)).tuned()
        found[scale] = finished(Annealing(target, schedule, Sampler("tfp_hmc", 5), 20, 1, tables[scale])).result()
    assert np.allclose(found[1024.0].log_z, found[1.0].log_z, atol=1e-6)
    assert np.allclose(tables[1024.0].values, tables[1.0].values * 1024, rtol=1e-6)
    assert tables[1.0].values.max() == pytest.approx(0.5, rel=0.1)  # means of a segment, which comes to the upper limit
    assert np.abs((found[1024.0].log_z - case.exact(schedule.recorded)[0]).mean(1)).max() < 0.5


def test_the_released_rule_keeps_its_limit_and_acceptance_tells_that_it_is_too_low():
    case, settings = Linear(latents=2, scales=(1.0,)), {"preset": "smoke", "num_temperatures": 60, "tuning_temperatures": 60}
    target = scaled(case, 1000.0, "float32")
    with pytest.warns(UserWarning, match="acceptance was outside 0.75..0.975 at .* of 4 of 4 images"):
        curve = ais.rate_distortion_curve(
            target.decoder, case.images, target.prior, target.measure, rule="cumulative", **settings
        )
    assert curve.attrs["step_sizes"].values.max() <= 0.5 and (curve["acceptance"] > 0.98).all()


def test_a_table_of_step_sizes_holds_what_the_round_found_at_the_middles_of_its_segments():
    target, schedule = Linear().target(), sigmoid_schedule(20, 3.0, 2)
    round_ = finished(Annealing(target, schedule, Sampler(**BETTER), 6, 5))
    table, found = round_.tuned("said"), round_.result()
    assert np.allclose(table.centers, [np.prod(betas[1:]) ** (1 / (len(betas) - 1)) for betas in schedule.segments])
    assert np.allclose(table.deviations, np.sqrt((found.deviation**2).mean(axis=1)))
    assert np.array_equal(table.values, found.step_sizes) and np.array_equal(table.betas, schedule.recorded)
    assert (table.target, table.settings, table.seed) == (target.digest, "said", 5)


def test_a_gap_is_upper_minus_lower_bound():
    found = row(2.0, Bounds(np.array([-3.0, -5.0]), np.array([-1.0, -4.0])))
    expected = {"beta": 2.0, "lower_nats": -4.0, "upper_nats": -2.5, "gap_nats": 1.5, "gap_standard_error_nats": 0.5}
    assert found == pytest.approx(expected)


def test_an_exact_curve_is_means_over_images_with_rate_plus_beta_d_minus_log_z():
    exact = Exact(np.array([[1.0, 3.0], [0.5, 1.5]]), np.array([[-4.0, -6.0], [-7.0, -9.0]]))
    np.testing.assert_allclose(exact.curve(np.array([1.0, 4.0])), [[3.0, 2.0, 5.0], [4.0, 1.0, 8.0]])
