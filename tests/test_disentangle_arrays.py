"""Scores of arrays and of datasets without all combinations of factors, and scores taken apart, by hand and by the book."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from echo_tf.disentangle import (
    Encoded,
    Sampler,
    beta_vae_score,
    dci,
    factor_vae_score,
    modularity,
    mutual_information_gap,
    sap,
)

GROUPS = {"num_train": 300, "num_eval": 200, "batch_size": 8}
SCORES = [partial(factor_vae_score, **GROUPS), mutual_information_gap, partial(beta_vae_score, **GROUPS), dci, sap, modularity]
NAMES = [getattr(score, "func", score).__name__ for score in SCORES]
RNG = np.random.default_rng(0)
FACTORS = RNG.integers(0, (3, 4, 2), (900, 3))
NOISY = FACTORS / (3, 4, 2) + RNG.normal(size=(900, 3)) * (0.1, 0.3, 0.2)
BITS = np.tile(np.stack(np.unravel_index(np.arange(8), (2, 2, 2)), axis=1), (5, 1))  # each of the eight five times


@pytest.mark.parametrize("score", SCORES, ids=NAMES)
def test_arrays_have_every_score_and_what_a_value_is_called_does_not_matter(score):
    pure = score(FACTORS, FACTORS)
    assert pure.score >= (0.3 if "sap" in str(score) else 0.9) and score(NOISY, FACTORS).score < pure.score
    assert score(NOISY, FACTORS).score == score(NOISY, [[7, -2, 5]] + 3 * FACTORS).score
    assert score(RNG.normal(size=(900, 3)), FACTORS).score < 0.7


def test_information_in_arrays_is_of_every_row():
    assert mutual_information_gap(NOISY, FACTORS).settings.others["num_points"] == 900
    many = np.tile(FACTORS, (20, 1))
    assert mutual_information_gap(many, many).settings.others["num_points"] == 18_000
    some = mutual_information_gap(NOISY, FACTORS, num_points=100)
    assert some.settings.others["num_points"] == 100


def test_classifiers_of_arrays_are_tried_on_rows_that_they_were_not_fitted_to():
    result = dci(NOISY, FACTORS)
    assert result.settings.others == {"num_train": 600, "num_test": 300, "num_trees": 20}
    factors = np.arange(30)[:, None] // 3
    (train, _), (test, _) = Sampler(RNG.normal(size=(30, 2)), factors).sets((None, None), (10_000, 5_000))
    assert len(train) == 20 and len(test) == 10
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test]), axis=0), factors)
    noise = RNG.normal(size=(600, 4))
    told = RNG.integers(0, 2, (600, 1))
    assert abs(dci(noise, told).informativeness - 0.5) < 0.12  # of what it was fitted to, a forest tells nearly all
    assert abs(beta_vae_score(noise, FACTORS[:600], num_train=20, num_eval=600, batch_size=2).score - 1 / 3) < 0.1


def test_a_group_of_a_table_shares_a_factor_and_is_otherwise_drawn_from_all():
    sampler = Sampler(NOISY, FACTORS)
    fixed, rows = sampler.with_one_fixed(400, 50)
    for factor in range(3):
        groups = FACTORS[rows[fixed == factor]]
        assert (groups[:, :, factor] == groups[:, :1, factor]).all()
        for other in {0, 1, 2} - {factor}:
            assert (np.ptp(groups[:, :, other], axis=1) > 0).all()
            share = np.bincount(groups[..., other].ravel()) / groups[..., other].size
            np.testing.assert_allclose(share, np.bincount(FACTORS[:, other]) / 900, atol=0.03)
    shared, rows = sampler.pairs(400, 50)
    pairs = FACTORS[rows[:, :50]] == FACTORS[rows[:, 50:]]
    for factor in range(3):
        assert pairs[shared == factor][..., factor].all() and not pairs[shared != factor][..., factor].all(axis=-1).any()


def incomplete():
    """A dataset as `echo_tf.data` has it, without a quarter of the combinations."""
    grid = np.stack(np.unravel_index(np.arange(4 * 4 * 6), (4, 4, 6)), axis=1)
    kept = grid[(grid[:, 0] + grid[:, 1]) % 4 != 0]

    def images(factors):
        assert all((kept == row).all(axis=1).any() for row in np.unique(factors, axis=0)), "of a combination that is not there"
        return factors.astype(float)

    return SimpleNamespace(factor_sizes=(4, 4, 6), images=images, factors={"train": kept})


@pytest.mark.parametrize("score", SCORES, ids=NAMES)
def test_a_dataset_without_all_combinations_is_scored_by_those_that_it_has(score):
    result = score(lambda x: x, incomplete())
    assert result.score >= {sap: 0.15, dci: 0.2}.get(score, 0.8) and result.settings.factors == (0, 1, 2)
    encoded = Encoded(incomplete(), lambda x: [x, x])
    assert score(lambda places: encoded.encode(places)[0], encoded).score == result.score


def test_modularity_and_mig_by_hand():
    """A bit itself, and "the first or both others": H of a bit of 5/8, of which 1/4 is left if the first is 0."""
    first, second, third = BITS.T
    codes = np.stack([first, first | (second & third), 0 * first], axis=1).astype(float)

    def h(p):
        return -p * np.log(p) - (1 - p) * np.log(1 - p)

    of_first = h(5 / 8) - 0.5 * h(1 / 4)
    of_others = h(5 / 8) - 0.5 * h(1 / 2) - 0.5 * h(3 / 4)
    result = mutual_information_gap(codes, BITS)
    expected = [[np.log(2), 0, 0], [of_first, of_others, of_others], [0, 0, 0]]
    np.testing.assert_allclose(result.information_nats, expected, atol=1e-12)
    np.testing.assert_allclose(result.entropy_nats, np.log(2))
    np.testing.assert_allclose(result.gaps, [1 - of_first / np.log(2), of_others / np.log(2), of_others / np.log(2)])
    assert result.score == pytest.approx(np.mean(result.gaps))
    found = modularity(codes, BITS)
    np.testing.assert_allclose(found.of_dimensions, [1, 1 - 2 * of_others**2 / (2 * of_first**2), 0], atol=1e-12)
    assert found.score == pytest.approx(np.mean(found.of_dimensions)) and 0.5 < found.score < 0.9


def test_dci_by_the_book():
    mixed = NOISY @ [[1, 0.3, 0, 0.1], [0, 1, 0.2, 0], [0.1, 0, 0, 1]]
    result = dci(mixed, FACTORS)
    importance = result.importance
    weight = importance.sum(axis=1) / importance.sum()
    disentanglement = weight @ (1 - entropy(importance, axis=1) / np.log(3))
    share = importance.sum(axis=0) / importance.sum()
    assert result.score == result.disentanglement == pytest.approx(disentanglement)
    assert result.completeness == pytest.approx(share @ (1 - entropy(importance, axis=0) / np.log(4)))
    assert 0.3 < result.score < 0.9 and abs(result.score - np.mean(1 - entropy(importance, axis=1) / np.log(3))) > 0.01


def test_sap_by_the_book():
    result = sap(NOISY, FACTORS)
    (train, x), (test, new) = Sampler(NOISY, FACTORS).sets((600, 300), (10_000, 5_000))
    accuracy = np.empty((3, 3))
    for i, j in np.ndindex(3, 3):
        scale = x.std(axis=0).max()
        column, fresh = (values[:, [i]] / scale - x[:, i].mean() / scale for values in (x, new))
        machine = LinearSVC(C=0.01, class_weight="balanced", dual=False, random_state=0).fit(column, train[:, j])
        accuracy[i, j] = np.mean(machine.predict(fresh) == test[:, j])
    np.testing.assert_allclose(result.accuracy, accuracy, atol=0.004)
    ranked = np.sort(result.accuracy, axis=0)
    np.testing.assert_allclose(result.gaps, ranked[-1] - ranked[-2])
    assert result.score == pytest.approx(np.mean(result.gaps))


def test_the_beta_vae_score_by_the_book():
    settings = {"num_train": 60, "num_eval": 200, "batch_size": 3}
    result, sampler = beta_vae_score(NOISY, FACTORS, **settings), Sampler(NOISY, FACTORS)
    parts = []
    for number in (60, 200):
        shared, rows = sampler.pairs(number, 3)
        parts.append((np.abs(NOISY[rows[:, :3]] - NOISY[rows[:, 3:]]).mean(axis=1), shared))
    (x, y), (new, told) = parts
    machine = LogisticRegression(max_iter=1000).fit(x / x.max(), y)
    assert result.score == pytest.approx(machine.score(new / x.max(), told))
    assert result.train_score == pytest.approx(machine.score(x / x.max(), y)) and result.score != result.train_score


def test_the_factor_vae_score_is_of_new_groups():
    """Dimensions of noise tell nothing: what the vote was made of is told better than chance, what is new is not."""
    settings = {"num_train": 12, "num_eval": 3000, "batch_size": 4}
    result = factor_vae_score(RNG.normal(size=(900, 8)), FACTORS, **settings)
    assert result.train_score > 0.6 and abs(result.score - 1 / 3) < 0.05


@pytest.mark.parametrize("score", SCORES, ids=NAMES)
@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (NOISY[:-1], FACTORS, "899 codes need as many rows of factors, got 900"),
        (NOISY[:, 0], FACTORS, r"codes must be \(n, d\)"),
        (NOISY * np.nan, FACTORS, "codes must be finite numbers"),
        (NOISY, FACTORS[:, 0], r"factors must be integers \(n, F\)"),
        (NOISY, FACTORS + 0.5, "factors must be integers, got"),
        (NOISY, FACTORS.astype(str), "factors must be integers"),
        (NOISY, 0 * FACTORS, "a factor of two values or more"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(score, codes, factors, message):
    with pytest.raises(ValueError, match=message) as error:
        score(codes, factors)
    assert "\n" not in str(error.value)


def test_what_a_table_cannot_give_is_said():
    for score in (mutual_information_gap, modularity, dci, sap):
        with pytest.raises(ValueError, match=r"num_(points|train) must be an integer of \d+ or more .*, got [23]\."):
            score(NOISY[:3], FACTORS[:3])
    with pytest.raises(ValueError, match="901 examples are asked for, of 900"):
        mutual_information_gap(NOISY, FACTORS, num_points=901)
    with pytest.raises(ValueError, match="600 and 400 examples are asked for, of 900"):
        dci(NOISY, FACTORS, num_train=600, num_test=400)
    lonely = np.where(np.arange(900)[:, None] == 5, 9, FACTORS)
    with pytest.raises(ValueError, match="two examples or more of each, got one of the 4. value of factor 0"):
        factor_vae_score(NOISY, lonely, **GROUPS)
