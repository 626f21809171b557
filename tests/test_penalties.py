import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel

from echo_tf import MaximumMeanDiscrepancy


def test_discrepancy_is_the_biased_statistic_of_scikit_learn_s_kernel():
    a, b = np.random.default_rng(0).normal(size=(2, 50, 32)).astype("float32") + np.array([0, 0.5], "float32")[:, None, None]
    gamma = 1 / (2 * (32 / np.sqrt(2)) ** 2)  # the Echo paper's bandwidth
    expected = rbf_kernel(a, a, gamma).mean() + rbf_kernel(b, b, gamma).mean() - 2 * rbf_kernel(a, b, gamma).mean()
    assert float(MaximumMeanDiscrepancy().discrepancy(a, b)) == pytest.approx(expected, rel=1e-3)
    assert expected > 1e-3


def test_it_vanishes_for_equal_samples_and_is_weighted():
    a = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    penalty = MaximumMeanDiscrepancy(weight=10.0, seed=0)
    assert float(penalty.discrepancy(a, a)) == pytest.approx(0, abs=1e-6)
    twice = MaximumMeanDiscrepancy(weight=20.0, seed=0)
    assert float(twice(a)) == pytest.approx(2 * float(penalty(a)), rel=1e-5)


def test_draws_are_of_the_standard_normal():
    # of codes that are all 0, in d dimensions with a kernel of width h: E k(0, 0) = 1, E k(b, b') = (h² / (h² + 2))^(d/2) for
    # two draws, of which a share of 1 / n are one and the same, E k(0, b) = (h² / (h² + 1))^(d/2)
    n, d = 1500, 2
    found = float(MaximumMeanDiscrepancy(3.0, bandwidth=1.0, seed=0)(np.zeros((n, d), "float32"))) / 3.0
    assert found == pytest.approx(1 + 1 / n + (1 - 1 / n) / 3 - 2 / 2, abs=0.02)


def test_fresh_draws_on_every_call():
    a = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    penalty = MaximumMeanDiscrepancy(seed=0)
    assert float(penalty(a)) != float(penalty(a))


def test_the_released_bandwidth_makes_it_a_constant():
    """facts: with bandwidth 0.01 nothing but the diagonals is left, 2 / B."""
    a = np.random.default_rng(0).normal(size=(100, 32)).astype("float32")
    assert float(MaximumMeanDiscrepancy(1.0, bandwidth=0.01, seed=0)(a)) == pytest.approx(0.02, rel=1e-3)


@pytest.mark.parametrize("wrong", [{"weight": -1.0}, {"bandwidth": 0.0}])
def test_bad_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        MaximumMeanDiscrepancy(**wrong)
