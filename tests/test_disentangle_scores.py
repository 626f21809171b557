"""Scores of codes whose disentanglement is known, against closed forms and scikit-learn."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from echo_tf.disentangle import (
    beta_vae_score,
    dci,
    factor_vae_score,
    gaussian_total_correlation,
    modularity,
    mutual_information_gap,
    sap,
)
from echo_tf.disentangle.importance import _concentration
from echo_tf.disentangle.sampling import Sampler
from echo_tf.gaussianity import total_correlation
from echo_tf.kinds import disentangle as kind

SIZES = (3, 4, 6)
FEW = {
    factor_vae_score: {"num_train": 600, "num_eval": 300, "num_variance": 1000, "batch_size": 16},
    mutual_information_gap: {"num_points": 2000},
    beta_vae_score: {"num_train": 300, "num_eval": 150, "batch_size": 16},
    dci: {"num_train": 1000, "num_test": 300, "num_trees": 8},
    sap: {"num_train": 1000, "num_test": 300},
    modularity: {"num_points": 2000},
}
SCORES = [partial(score, **few) for score, few in FEW.items()]
NAMES = [score.__name__ for score in FEW]
FACTOR_VAE, MIG, BETA_VAE, DCI, SAP, MODULARITY = SCORES


def dataset(sizes=SIZES, images=None):
    return SimpleNamespace(factor_sizes=sizes, images=images or (lambda factors: factors.astype(float)))


def identity(images):
    return images


def constant(images):
    return np.zeros((len(images), 5))


def mixed(images):
    """Orthogonal combinations of all factors: each dimension tells of all alike."""
    x = (images - np.array(SIZES) / 2) / np.array(SIZES)
    return x @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]


@pytest.mark.parametrize("score", [FACTOR_VAE, MIG, DCI, MODULARITY, BETA_VAE], ids=lambda s: s.func.__name__)
def test_factors_themselves_are_disentangled_and_no_scale_of_a_dimension_changes_that(score):
    assert score(identity, dataset()).score >= 0.9
    scaled = score(lambda images: 1e-4 * images @ np.diag([1.0, 3.0, 2.0])[:, [2, 0, 1]], dataset())
    assert scaled.score >= 0.9


def test_sap_of_the_factors_themselves_is_what_one_linear_machine_can_tell():
    result = SAP(identity, dataset())
    best = result.accuracy.max(axis=0)
    assert (result.accuracy.argmax(axis=0) == [0, 1, 2]).all() and best[0] > 0.95 and best.min() > 0.3  # ends alone are told
    assert result.score == pytest.approx(np.mean(best - np.sort(result.accuracy, axis=0)[-2]))


@pytest.mark.parametrize("score", SCORES, ids=NAMES)
def test_a_constant_code_tells_nothing(score):
    result = score(constant, dataset())
    chance = 1 / 3 + 0.1 if score is BETA_VAE else 0.2  # a classifier's
    assert result.score <= chance


def test_a_duplicated_code_has_no_gap():
    twice = MIG(lambda images: np.concatenate([images, images], axis=1), dataset())
    assert twice.score <= 0.1 and DCI(lambda images: np.repeat(images, 2, axis=1), dataset()).completeness < 0.8


@pytest.mark.parametrize("score", [DCI, MODULARITY, MIG], ids=lambda s: s.func.__name__)
def test_rotated_factors_are_less_disentangled(score):
    assert score(mixed, dataset()).score < score(identity, dataset()).score - 0.1


def test_a_rotation_of_two_factors_costs_dci_their_part_alone():
    turn = np.eye(3)
    turn[1:, 1:] = np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    result = DCI(lambda images: images / np.array(SIZES) @ turn, dataset())
    own = result.importance / result.importance.sum(axis=1, keepdims=True)
    assert own[0, 0] > 0.95 and result.score < DCI(identity, dataset()).score - 0.2


def test_mig_of_a_known_joint_is_its_closed_form():
    """Four values of a factor; one dimension tells two of its four bits' halves, the other only which of 3 and the rest."""
    represent = lambda images: np.stack([images[:, 0] // 2, images[:, 0] == 3], axis=1).astype(float)  # noqa: E731
    result = mutual_information_gap(represent, dataset((4, 1)), num_points=100_000)
    rest = np.log(4) - 0.75 * np.log(3)  # H of a bit of probability 1/4
    assert result.information_nats[:, 0] == pytest.approx([np.log(2), rest], abs=0.01)
    assert result.score == pytest.approx((np.log(2) - rest) / np.log(4), abs=0.01)
    assert result.settings.factors == (0,), "the factor of one value is left out, and said"


def test_bins_are_numpy_s_histogram_s():
    factors, codes = Sampler(mixed, dataset(), 0).codes(2000)
    mine = MIG(mixed, dataset()).information_nats
    for j, column in enumerate(codes.T):
        binned = np.digitize(column, np.histogram(column, 20)[1][:-1])
        assert mine[j, 2] == pytest.approx(mutual_info_score(binned, factors[:, 2]), abs=1e-2)


def test_pruning_is_relative_to_the_code_s_scale_and_absolute_where_asked():
    small = lambda images: 0.001 * np.concatenate([images, 0.01 * images[:, :1]], axis=1)  # noqa: E731
    assert FACTOR_VAE(small, dataset()).active == (0, 1, 2)
    released = FACTOR_VAE(small, dataset(), absolute=True)
    assert released.active == () and released.score == 0


def test_factor_vae_by_the_book():
    """The vote of each group by plain loops over the same draws."""

    def rough(images):
        return mixed(images) + 0.5 * np.sin(37 * images @ [[1, 2, 3], [3, 1, 2], [2, 3, 1]])

    sampler = Sampler(rough, dataset(), 0)
    variance = sampler.codes(1000, 16)[1].var(axis=0, ddof=1)
    counts = []
    for number in (600, 300):
        fixed, factors = sampler.with_one_fixed(number, 16)
        table = np.zeros((3, 3), int)
        for k, group in zip(fixed, factors):
            assert len(np.unique(group[:, k])) == 1
            table[np.argmin(rough(group.astype(float)).var(axis=0, ddof=1) / variance), k] += 1
        counts.append(table)
    score = sum(counts[1][j, counts[0][j].argmax()] for j in range(3)) / 300
    found = FACTOR_VAE(rough, dataset())
    assert found.score == pytest.approx(score) and 0.35 < score < 0.9
    assert found.train_score == pytest.approx(counts[0].max(axis=1).sum() / 600) and found.train_score != found.score
    assert found.chance == pytest.approx(counts[1].sum(axis=0).max() / 300)


class Forgetful:
    """The factors themselves for so many images, noise from there on."""

    def __init__(self, images):
        self.left, self.rng = images, np.random.default_rng(0)

    def __call__(self, images):
        self.left -= len(images)
        return images if self.left >= 0 else self.rng.normal(size=images.shape)


def test_scores_are_taken_on_examples_that_nothing_was_fitted_to():
    factor_vae, beta_vae = FACTOR_VAE(Forgetful(1008 + 600 * 16), dataset()), BETA_VAE(Forgetful(300 * 32), dataset())
    for result in (factor_vae, beta_vae):
        assert result.train_score > 0.95 and result.score < 0.5
    assert DCI(Forgetful(1024), dataset()).informativeness < 0.4 and SAP(Forgetful(1024), dataset()).accuracy.max() < 0.6


def test_dci_weighs_each_dimension_by_how_much_it_is_relied_on():
    importance = np.array([[3.0, 1.0], [0.0, 8.0]])  # a row a dimension
    bits = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))  # of the first one; the second is of one factor alone
    assert _concentration(importance) == pytest.approx((4 * (1 - bits) + 8) / 12)


def test_modularity_is_of_squares_and_of_the_other_factors(monkeypatch):
    told = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    monkeypatch.setattr("echo_tf.disentangle.information.informations", lambda *_: told)
    assert MODULARITY(identity, dataset()).of_dimensions == pytest.approx((1 - 1 / (4 * 2), 1.0))


@pytest.mark.parametrize("score", SCORES, ids=NAMES)
def test_scores_are_a_function_of_the_seed_and_lie_within_0_and_1(score):
    one, same, other = (score(mixed, dataset(), seed=seed) for seed in (0, 0, 1))
    assert one.score == same.score and 0 <= one.score <= 1
    assert one.settings == same.settings != other.settings


COMMON, OWN = np.full(3, 2.0**-10), np.array([1.0, 2.0**-7, 2.0**-7])  # powers of two, which round nothing


@pytest.mark.parametrize("score", SCORES, ids=NAMES)
def test_a_common_scale_of_the_dimensions_changes_no_score(score):
    assert score(lambda x: noisy(x) * COMMON, dataset()).score == score(noisy, dataset()).score


@pytest.mark.parametrize("score", [MIG, MODULARITY, DCI, partial(FACTOR_VAE, threshold=0)])
def test_a_scale_of_each_dimension_changes_no_information_no_tree_and_no_vote(score):
    assert score(lambda x: noisy(x) * OWN, dataset()).score == score(noisy, dataset()).score


def test_a_scale_of_each_dimension_changes_what_is_pruned_and_what_a_penalized_classifier_sees():
    for score in (FACTOR_VAE, BETA_VAE, SAP):
        assert score(lambda x: noisy(x) * OWN, dataset()).score < score(noisy, dataset()).score - 0.05
    assert FACTOR_VAE(lambda x: noisy(x) * OWN, dataset()).active == (0,)


def noisy(images):
    """Each factor plus noise that depends on the image alone: scores of 0.5 to 0.9."""
    x = images / np.array(SIZES)
    return x + 0.25 * np.sin(1e3 * (images @ np.array([[1.0, 2.3, 4.1], [3.7, 1.9, 2.2], [5.3, 4.7, 1.1]])))


def test_gaussian_total_correlation_of_dependent_dimensions_is_infinite_whatever_is_rounded():
    x = np.random.default_rng(0).normal(size=(2000, 4))
    told = {"copy": x[:, 0], "sum": x @ [1, 2, 3, 4], "scaled, moved": 1e3 - 1e-6 * x[:, 1], "nearly": x[:, 0] + 1e-4 * x[:, 1]}
    for name, column in told.items():
        codes = np.column_stack([x, column])
        assert gaussian_total_correlation(codes) == np.inf, name
        if name != "scaled, moved":  # of which float32 has nothing left
            assert gaussian_total_correlation(codes.astype(np.float32)) == np.inf, name
    assert total_correlation(np.array([[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])) == np.inf
    assert total_correlation(np.diag([4.0, 1.0, 0.0])) == 0
    for share in (1e-2, 1e-4, 1e-6):  # what the first leaves open of the second
        codes = np.column_stack([x[:, 0], x[:, 0] + share * x[:, 1]])
        rest = 1 - np.corrcoef(codes[:, 0], x[:, 1])[0, 1] ** 2
        exact = 0.5 * np.log(codes[:, 1].var() / (share**2 * rest * x[:, 1].var()))
        assert gaussian_total_correlation(codes) == pytest.approx(exact, abs=1e-3)


def test_gaussian_total_correlation_is_that_of_a_gaussian():
    codes = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 50_000)
    assert gaussian_total_correlation(codes) == pytest.approx(-0.5 * np.log(1 - 0.64), abs=0.02)
    assert gaussian_total_correlation(np.stack([codes[:, 0], np.zeros(50_000)], axis=1)) == 0
    for wrong in (codes[:2], codes[:, 0], codes * np.nan):
        with pytest.raises(ValueError, match="codes must be"):
            gaussian_total_correlation(wrong)


@pytest.mark.parametrize("score", SCORES, ids=NAMES)
@pytest.mark.parametrize(
    ("represent", "data", "message"),
    [
        (identity, dataset(images=lambda f: f[:-1].astype(float)), "gave .* images for"),
        (lambda x: x * np.nan, dataset(), "must be finite"),
        (lambda x: x[:-1], dataset(), r"a code \(n, d\)"),
        (lambda x: x[:, 0], dataset(), r"a code \(n, d\)"),
        (identity, dataset((1, 1)), "a factor of two values or more"),
        (identity, SimpleNamespace(factor_sizes=(3,)), r"images\(factors\)"),
        (3, dataset(), "represent must be a function"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_line(score, represent, data, message):
    with pytest.raises(ValueError, match=message) as error:
        score(represent, data)
    assert "\n" not in str(error.value)


def test_images_that_change_their_shape_are_refused():
    growing = dataset(images=lambda f: np.random.default_rng(0).normal(size=(len(f), 1 + len(f) % 63)))
    with pytest.raises(ValueError, match=r"images of \(2,\), and before of \(1,\)"):
        FACTOR_VAE(identity, growing)


@pytest.mark.parametrize(
    ("score", "settings"),
    [
        (factor_vae_score, {"batch_size": 1}),
        (factor_vae_score, {"num_eval": 0}),
        (mutual_information_gap, {"num_points": 19}),
        (modularity, {"num_bins": 1}),
        (dci, {"num_train": 5}),
        (sap, {"num_train": 5}),
        (beta_vae_score, {"num_train": 2}),
    ],
)
def test_too_few_points_are_refused(score, settings):
    with pytest.raises(ValueError, match=r"must be an integer of \d+ or more"):
        score(identity, dataset(), **settings)


def test_an_infinite_total_correlation_which_a_record_holds_as_null_is_read_as_such():
    scores = {"mig_score": 0.5, "code_total_correlation_nats": None}
    [row] = kind.rows({"representations": {"mean": {"scores": scores}}})
    assert row == {"representation": "mean", "mig_score": 0.5, "code_total_correlation_nats": np.inf}
    assert kind.line({"representations": {"mean": {"scores": scores}}}) == "mean: mig 0.500"


def test_a_dimension_that_is_a_constant_counts_as_one_whatever_its_rounded_variance():
    z = np.random.default_rng(0).normal(size=1000)
    assert gaussian_total_correlation(np.stack([z, 0 * z + 0.1, 0 * z + 0.3], axis=1)) == 0
    assert FACTOR_VAE(lambda x: np.full((len(x), 3), 0.1), dataset()).active == ()
    assert DCI(lambda x: 1e-9 * x, dataset()).score == DCI(identity, dataset()).score
