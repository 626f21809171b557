"""Temperatures: the numbers of the released code's schedule, and equal spread of the adapted one."""

import numpy as np
import pytest

from echo_tf.ais import adapted_schedule, sigmoid_schedule
from echo_tf.ais.schedule import Schedule

RELEASED = [  # temperatures, records, max_beta, {index of a record: (beta, transitions to it)}, largest step
    (60_000, 2000, 36_000, {0: (0.01642624, 30), 20: (0.3819258366, 630), 48: (1.033448155, 1470)}, 3.0003),
    (60_000, 2000, 36_000, {1: (0.03301754, 60), 2: (0.04977559, 90), 1990: (35999.84667578, 59730)}, 3.0003),
    (1_600_000, 2000, 3333, {0: (0.00152077, 800), 20: (0.0353593382, 16800), 200: (0.9777305678, 160_800)}, 0.010417),
    (60_000, 2000, 3333, {48: (0.0956800750, 1470), 1990: (3332.98580473, 59730)}, 0.27778),
    (5000, 50, 200, {0: (0.00446675, 100), 1: (0.01113051, 200), 2: (0.02107165, 300), 49: (200, 4999)}, 0.20006),
    (100_000, 2000, 0.33, {0: (1.505728e-7, 50), 20: (3.500961e-6, 1050), 1990: (0.329998592, 99_550)}, 1.650e-5),
]


@pytest.mark.parametrize("temperatures, records, max_beta, known, largest", RELEASED)
def test_the_sigmoid_is_that_of_the_released_code(temperatures, records, max_beta, known, largest):
    schedule = sigmoid_schedule(temperatures, max_beta, records)
    for index, (beta, transitions) in known.items():
        assert schedule.recorded[index] == pytest.approx(beta, rel=2e-6)
        assert schedule.ends[index] == transitions
    assert len(schedule.ends) == records and schedule.ends[-1] == temperatures - 1
    assert np.diff(schedule.betas).max() == pytest.approx(largest, rel=1e-3)


def test_counts_of_records_below_some_temperatures_are_those_of_the_facts():
    betas = sigmoid_schedule(60_000, 36_000, 2000).recorded
    assert [(betas <= limit).sum() for limit in (1, 10, 100, 1000)] == [47, 196, 413, 644]


def test_segments_share_their_ends_and_cover_the_whole_way():
    schedule = sigmoid_schedule(57, 3.0, 10)
    joined = np.concatenate([schedule.segments[0], *(segment[1:] for segment in schedule.segments[1:])])
    assert np.array_equal(joined, schedule.betas) and schedule.betas[0] == 0


def test_adapted_steps_are_of_equal_spread_where_the_spread_rules():
    known = np.geomspace(1e-3, 100, 60)
    schedule = adapted_schedule(500, 100, 10, known, 3 / known)  # a Gaussian's at high beta: by log beta alone
    assert np.ptp(np.diff(np.log(schedule.betas[schedule.betas > 1]))) < 1e-3
    sharp = adapted_schedule(4000, 100, 10, known, 1 / (1 + ((known - 50) / 5) ** 2))
    inside = ((sharp.betas > 40) & (sharp.betas < 60)).sum()
    assert inside > 0.3 * len(sharp.betas) and sharp.betas[-1] == 100 and (np.diff(sharp.betas) > 0).all()


def test_the_way_up_to_a_beta_and_back():
    schedule = sigmoid_schedule(300, 50.0, 20)
    way = schedule.until(7.0)
    assert way.betas[0] == 0 and way.betas[-1] == 7.0 and len(way.ends) == 10
    assert set(way.betas[:-1]) <= set(schedule.betas)
    assert np.array_equal(way.reversed().betas, way.betas[::-1])
    assert way.digest != way.reversed().digest and way.digest == Schedule(way.betas.copy(), way.ends).digest


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((100, 0, 10), "max_beta must be a positive"),
        ((100, float("nan"), 10), "max_beta must be a positive"),
        ((10, 1.0, 10), "num_temperatures must be larger than num_betas"),
        ((10, 1.0, 0), "num_betas must be an integer of 1 or more"),
        ((10, 1.0, 2, -4.0), "half_width"),
    ],
)
def test_schedules_that_cannot_be_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        sigmoid_schedule(*arguments)


def test_an_adapted_schedule_needs_positive_spreads():
    with pytest.raises(ValueError, match="must rise from above 0"):
        adapted_schedule(100, 1.0, 5, [0.1, 1.0], [0.0, 1.0])
