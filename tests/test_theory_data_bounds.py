import numpy as np
import pandas as pd
import pytest
from scipy import stats

from echo_tf.kinds import data_bounds as kind
from echo_tf.theory import (
    bernoulli_rate,
    codebook_bound,
    fit_gaussian_mixture,
    fit_particles,
    fitted_mixture_bound,
    gaussian_mixture_bound,
    lower_bound,
    lower_envelope,
    particle_bound,
    reverse_water_filling,
)

F = "rate_plus_beta_distortion_nats"
BETAS = [0.3, 1.0, 4.0]


@pytest.fixture(scope="module")
def clusters():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 5)) * 3
    train, test = (centres[rng.integers(0, 12, 150)] + 0.3 * rng.normal(size=(150, 5)) for _ in range(2))
    return train, test


@pytest.fixture(scope="module")
def gaussian():
    return np.random.default_rng(1).normal(size=(3000, 1))


def water_filling_objective(variances, beta):
    distortion = np.minimum(variances, 1 / (2 * beta)).sum()
    return reverse_water_filling(variances, distortion).rate + beta * distortion


def objective(x, y, w, beta):
    """F by its definition, with every difference taken by itself."""
    squared = ((x[:, None] - y) ** 2).sum(axis=2)
    return -np.mean(np.log((w * np.exp(-beta * squared)).sum(axis=1)))


@pytest.mark.parametrize("beta", [0.8, 3.0])
def test_two_points_have_the_curve_of_the_best_pair_of_reproductions(beta):
    # points at -1 and 1: reproductions at -a and a, used with the crossing probability 1 / (1 + exp(4 a beta))
    x = np.array([[-1.0], [1.0]] * 5)
    a = np.linspace(0, 1, 100_001)
    least = (-np.log(0.5 * np.exp(-beta * (1 - a) ** 2) + 0.5 * np.exp(-beta * (1 + a) ** 2))).min()
    found = particle_bound(x, beta, 4, steps=5000)
    assert found[F][0] == pytest.approx(least, abs=2e-3)
    sandwich = lower_bound(x, beta, points=np.linspace(-1, 1, 201)[:, None], tolerance=1e-6)
    assert sandwich.lower_rate_plus_beta_distortion_nats[0] <= least + 1e-9
    assert sandwich.upper_rate_plus_beta_distortion_nats[0] >= least - 1e-9
    assert sandwich.lower_rate_plus_beta_distortion_nats[0] == pytest.approx(least, abs=1e-4)


def test_far_points_are_a_fair_coin():
    x = np.array([[-10.0], [10.0]] * 5)
    found = codebook_bound(x, [[-10.0], [10.0]], [0.01])
    assert found.rate_nats[0] == pytest.approx(bernoulli_rate(1 / (1 + np.exp(4.0))), abs=1e-6)
    assert particle_bound(x, 5.0, 4).rate_nats[0] == pytest.approx(np.log(2), abs=1e-6)


def test_particles_objective_never_rises_and_is_that_of_the_definition(clusters):
    train, _ = clusters
    particles = fit_particles(train, 0.7, train[:20], steps=60)
    assert np.all(np.diff(particles.objective_nats) <= 1e-5)
    assert particles.objective_nats[0] == pytest.approx(objective(train, train[:20], np.full(20, 0.05), 0.7), abs=1e-4)
    assert particles.weights.sum() == pytest.approx(1.0) and particles.positions.shape == (20, 5)
    last = objective(train, particles.positions, particles.weights, 0.7)
    assert last <= particles.objective_nats[-1] + 1e-5


def test_tables_hold_what_the_definition_gives(clusters):
    train, test = clusters
    found = particle_bound(train, BETAS, 20, test_examples=test)
    names = ["rate_nats", "distortion_sse", F]
    assert list(found.columns) == ["beta", *names, *("test_" + name for name in names)]
    book = codebook_bound(train, train[:20], BETAS)
    for table in (found, book):
        np.testing.assert_allclose(table.rate_nats + table.beta * table.distortion_sse, table[F], atol=1e-9)
    step = 1e-5  # D = dF / d beta for a marginal that stays
    w = np.full(20, 0.05)
    mixture = gaussian_mixture_bound(w, train[:20], np.zeros((20, 5, 1)), test, [1.0], factors=True).iloc[0]
    slope = (objective(test, train[:20], w, 1 + step) - objective(test, train[:20], w, 1 - step)) / (2 * step)
    assert mixture.distortion_sse == pytest.approx(slope, rel=1e-6)


def test_particles_beat_a_codebook_of_their_size(clusters):
    train, _ = clusters
    book = codebook_bound(train, train[np.random.default_rng(0).permutation(150)[:20]], BETAS)
    for order in ("falling", "rising"):
        assert np.all(particle_bound(train, BETAS, 20, order=order)[F] < book[F])


def test_betas_may_come_in_any_order_and_a_seed_repeats(clusters):
    train, _ = clusters
    one = particle_bound(train, BETAS, 10, seed=3)
    other = particle_bound(train, BETAS[::-1], 10, seed=3)
    np.testing.assert_allclose(one.to_numpy(), other.to_numpy()[::-1])


def test_the_bounds_of_a_gaussian_sample_enclose_its_curve(gaussian):
    sample = gaussian[:300]
    for beta in (1.0, 3.0):
        population = water_filling_objective(np.ones(1), beta)
        upper = particle_bound(sample, beta, 60, test_examples=gaussian[300:])
        sandwich = lower_bound(sample, beta, rounds=1).iloc[0]
        error = 4 * np.sqrt(2 / 300) * beta / (2 * beta)  # four standard errors of the sample's mean of beta x² / (2 beta)
        assert upper["test_" + F][0] >= population - error
        assert upper["test_" + F][0] == pytest.approx(population, abs=0.05 + error)
        assert sandwich.lower_rate_plus_beta_distortion_nats <= population + error
        assert sandwich.lower_rate_plus_beta_distortion_nats <= upper[F][0] + 1e-6
        assert sandwich.upper_rate_plus_beta_distortion_nats - sandwich.lower_rate_plus_beta_distortion_nats < 0.02


def test_lower_bounds_lie_below_every_upper_bound(clusters):
    train, _ = clusters
    lower = lower_bound(train, BETAS)
    assert (lower.lower_rate_plus_beta_distortion_nats <= lower.upper_rate_plus_beta_distortion_nats).all()
    assert (lower.upper_rate_plus_beta_distortion_nats - lower.lower_rate_plus_beta_distortion_nats < 0.05).all()
    for upper in (
        particle_bound(train, BETAS, 150),
        codebook_bound(train, train, BETAS),
        fitted_mixture_bound(train, BETAS, 8),
    ):
        assert (lower.lower_rate_plus_beta_distortion_nats <= upper[F] + 1e-9).all()
    assert (lower.rate_nats <= np.log(150) + 1e-9).all()


def test_the_certificate_holds_at_random_points(clusters):
    train, _ = clusters
    row = lower_bound(train, 1.0).iloc[0]
    # by duality no marginal at all may do better than the lower bound: try many
    rng = np.random.default_rng(0)
    for _ in range(20):
        y = train[rng.integers(0, 150, 80)] + 0.2 * rng.normal(size=(80, 5))
        assert objective(train, y, rng.dirichlet(np.ones(80)), 1.0) >= row.lower_rate_plus_beta_distortion_nats


def test_the_lower_envelope_is_the_highest_of_its_tangents(clusters):
    train, _ = clusters
    table = lower_bound(train, BETAS)
    upper = particle_bound(train, [0.5, 2.0], 150)
    envelope = lower_envelope(table, [*upper.distortion_sse, 1e9])
    tangents = [max(f - b * d for f, b in zip(table.lower_rate_plus_beta_distortion_nats, BETAS)) for d in upper.distortion_sse]
    np.testing.assert_allclose(envelope.lower_rate_nats[:2], tangents)
    assert np.all(envelope.lower_rate_nats[:2] <= upper.rate_nats) and envelope.lower_rate_nats[2] == 0.0


def test_each_marginal_is_valued_at_every_beta_so_that_distortion_falls(clusters):
    # particles found at a high beta alone are worse there than those of a low one: distortion rose again, and F with it
    train, test = clusters
    betas = np.geomspace(0.1, 300, 9)
    for found in (
        particle_bound(train, betas, 20, steps=20, test_examples=test),
        fitted_mixture_bound(train, betas, 5, steps=10),
    ):
        assert (np.diff(found.distortion_sse) <= 1e-9).all() and (np.diff(found.rate_nats) >= -1e-9).all()
        lines = found.rate_nats.to_numpy() + np.outer(betas, found.distortion_sse)  # of each row's channel, at every beta
        assert (found[F].to_numpy() <= lines.min(axis=1) + 1e-9).all()


def test_what_is_tested_does_not_choose_the_marginal():
    # one particle: at a high beta it stays where it started, at a low one it goes to the mean of the examples, 0
    train = np.array([[-1.0], [1.0], [-1.0], [1.0]])
    found = particle_bound(train, [0.1, 10.0], 1, test_examples=[[5.0]])
    assert found.distortion_sse.tolist() == pytest.approx([1.0, 1.0])
    assert found.test_distortion_sse.tolist() == pytest.approx([25.0, 25.0])  # of the mean, though a particle at 1 is nearer


def three_points(number, rng):
    return rng.choice([0.0, -1.0, 1.0], number, p=[0.9, 0.05, 0.05])[:, None]


def test_the_population_s_lower_bound_is_no_maximum_of_noisy_lines():
    # 0 nine times in ten, else -1 or 1: R(0.1) = 0 since a constant 0 has that distortion
    rng, betas, found = np.random.default_rng(0), [1.0, 3.0, 10.0], {"maximum": [], "chosen elsewhere": []}
    for _ in range(100):
        one, other = (lower_bound(three_points(10, rng), betas, rounds=0, ascent_steps=8) for _ in range(2))
        found["maximum"].append(lower_envelope(one, 0.1).lower_rate_nats[0])
        found["chosen elsewhere"].append(lower_envelope(one, 0.1, chosen_on=other).lower_rate_nats[0])
    means = {name: (np.mean(values), np.std(values) / 10) for name, values in found.items()}
    assert means["maximum"][0] > 3 * means["maximum"][1]  # a bound for the ten examples, and none for their population
    assert means["chosen elsewhere"][0] < 2 * means["chosen elsewhere"][1]
    assert min(found["chosen elsewhere"]) < 0  # raised to 0, the mean would be above R again


def test_the_line_is_that_of_the_other_table_s_best_beta(clusters):
    one, other = (lower_bound(x[:60], BETAS, rounds=0) for x in clusters)
    for d in (0.1, 3.0, 40.0):
        i = int(np.argmax(other.lower_rate_plus_beta_distortion_nats - other.beta * d))
        row = lower_envelope(one, d, chosen_on=other).iloc[0]
        assert row.beta == BETAS[i]
        assert row.lower_rate_nats == pytest.approx(one.lower_rate_plus_beta_distortion_nats[i] - BETAS[i] * d)


@pytest.mark.parametrize("x", [np.ones((1, 2)), np.ones((5, 2))])
def test_a_constant_costs_nothing(x):
    for table in (particle_bound(x, [0.5, 1e6], 1), fitted_mixture_bound(x, [0.5, 1e6], 1), codebook_bound(x, x, [0.5])):
        assert (table[["rate_nats", "distortion_sse", F]].to_numpy() == 0).all()
        assert not np.signbit(table[F]).any()
    assert (lower_bound(x, [0.5, 1e6]).drop(columns="beta").to_numpy() == 0).all()


def test_rows_of_a_record_say_whose_lower_bound_they_are():
    betas, d = [0.1, 1.0], "distortion_sse"
    bounds = [
        {"bound": "particles", "beta": b, "rate_nats": 1.0, d: 5.0, "train_rate_nats": 1.0, f"train_{d}": 0.0} for b in betas
    ]
    older = [{"bound": "lower bound, 9 images", "beta": b, F: f} for b, f in zip(betas, (2.0, 3.0))]
    halves = [
        {"bound": "in expectation", "beta": b, F: f, "choosing_" + F: c} for b, f, c in zip(betas, (0.2, 9.0), (2.0, 1.0))
    ]
    found = pd.DataFrame(kind.rows({"bounds": [*bounds, *older, *halves]}))
    rates = {name: rows.set_index(d)["rate_nats"] for name, rows in found.groupby("bound")}
    assert rates["lower bound, 9 images"][[0.0, 5.0]].tolist() == [3.0, 1.5]  # the highest of its lines
    assert rates["in expectation"][[0.0, 5.0]].tolist() == pytest.approx([0.2, -0.3])  # the line that the other half chose


def test_one_fitted_component_is_reverse_water_filling():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)) @ rng.normal(size=(4, 4))
    variances = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    for beta in (0.05, 0.4, 5.0):
        found = fitted_mixture_bound(x, beta, 1, steps=5)[F][0]
        assert found == pytest.approx(water_filling_objective(variances, beta), abs=1e-9)


def test_a_fitted_mixture_is_a_mixture_s_maximum_likelihood(clusters):
    # F of the mixture is minus the log-likelihood of the same mixture widened by 1 / (2 beta), up to its constant
    train, test = clusters
    beta = 6.0
    fitted = fit_gaussian_mixture(train, 6, beta, steps=200)
    laws = [stats.multivariate_normal(m, f @ f.T + np.eye(5) / (2 * beta)) for m, f in zip(fitted.means, fitted.factors)]
    density = sum(w * law.pdf(test) for w, law in zip(fitted.weights, laws))
    expected = -np.mean(np.log(density * (np.pi / beta) ** 2.5))
    found = gaussian_mixture_bound(fitted.weights, fitted.means, fitted.factors, test, beta, factors=True)
    assert found[F][0] == pytest.approx(expected, abs=1e-9)
    objectives = [fit_gaussian_mixture(train, 6, beta, steps=s, tolerance=-1.0) for s in (1, 2, 3, 5, 9, 20)]
    values = [gaussian_mixture_bound(*g, train, beta, factors=True)[F][0] for g in objectives]
    assert np.all(np.diff(values) <= 1e-9)


def test_a_fitted_mixture_s_weights_and_means_are_those_of_the_examples_that_fall_to_each_component():
    rng = np.random.default_rng(0)
    x, beta = np.concatenate([rng.normal(-1.5, 1, 150), rng.normal(1.5, 1, 450)])[:, None], 5.0  # they overlap
    fitted = fit_gaussian_mixture(x, 2, beta, steps=400, tolerance=-1.0)
    deviations = np.sqrt(fitted.factors[:, 0, 0] ** 2 + 1 / (2 * beta))
    share = fitted.weights * stats.norm.pdf(x, fitted.means[:, 0], deviations)
    share /= share.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.weights, share.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(fitted.means[:, 0], share.T @ x[:, 0] / share.sum(axis=0), atol=1e-4)
    assert np.ptp(fitted.weights) > 0.2


def test_a_mixture_reaches_rates_beyond_the_number_of_its_components(clusters):
    train, test = clusters
    row = fitted_mixture_bound(train, 200.0, 12, test_examples=test).iloc[0]
    assert row.test_rate_nats > np.log(150) > np.log(12)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: particle_bound(x, 1.0, 151),
        lambda x: particle_bound(x, 1.0, 0),
        lambda x: particle_bound(x, 1.0, 5, order="sideways"),
        lambda x: particle_bound(x, 0.0, 5),
        lambda x: particle_bound(x * np.nan, 1.0, 5),
        lambda x: particle_bound(x, 1.0, 5, test_examples=x[:, :3]),
        lambda x: fit_particles(x, 1.0, x[:3], weights=[1.0]),
        lambda x: codebook_bound(x, x[:, :2], 1.0),
        lambda x: fit_gaussian_mixture(x, 1.5, 1.0),
        lambda x: fit_gaussian_mixture(x, 2, [1.0, 2.0]),
        lambda x: fit_gaussian_mixture(x, 2, 1.0, start=fit_gaussian_mixture(x, 3, 1.0, steps=1)),
        lambda x: fit_particles(x, 1.0, x[:2], weights=[np.inf, 1.0]),
        lambda x: lower_bound(x, 1.0, rounds=-1),
        lambda x: lower_bound(x[0], 1.0),
        lambda x: lower_envelope(lower_bound(x[:5], 1.0), -1.0),
        lambda x: lower_bound(x, 1.0, points=x[:, :2]),
        lambda x: lower_envelope(lower_bound(x[:5], 1.0), 1.0, chosen_on=lower_bound(x[:5], 2.0)),
    ],
)
def test_bad_arguments_are_refused_in_one_line(clusters, call):
    with pytest.raises(ValueError, match="must be .*got") as refused:
        call(clusters[0])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "bound",
    [
        lambda x, check: codebook_bound(x, x[:3], [1.0, 2.0], check=check),
        lambda x, check: particle_bound(x, [1.0], 3, steps=5, check=check),
        lambda x, check: fitted_mixture_bound(x, [1.0], 2, steps=5, check=check),
        lambda x, check: lower_bound(x, [1.0], ascent_steps=4, check=check),
    ],
)
def test_every_bound_can_be_stopped_between_its_steps(bound):
    calls = []

    def stop_at_the_third():
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bound(np.random.default_rng(0).normal(size=(8, 2)), stop_at_the_third)
    assert len(calls) == 3
