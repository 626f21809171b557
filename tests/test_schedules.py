import pytest

from echo_tf.schedules import SCHEDULES, paper, released


@pytest.mark.parametrize(("epoch", "rate"), [(0, 3e-4), (99, 3e-4), (100, 3e-4), (101, 2.97e-4), (150, 1.5e-4), (199, 3e-6)])
def test_paper_schedule_falls_linearly_over_the_last_hundred_of_200_epochs(epoch, rate):
    assert paper(epoch, 200, 3e-4) == pytest.approx(rate)


@pytest.mark.parametrize(("epoch", "rate"), [(0, 3e-4), (100, 3e-4), (101, 3e-6), (110, 3e-5), (150, 1.5e-4), (199, 2.97e-4)])
def test_released_schedule_drops_and_rises_as_the_released_code_does(epoch, rate):
    assert released(epoch, 200, 3e-4) == pytest.approx(rate)


@pytest.mark.parametrize("schedule", [paper, released])
def test_short_training_keeps_the_shape(schedule):
    assert [schedule(e, 20, 1.0) for e in (0, 9, 15, 19)] == pytest.approx([schedule(10 * e, 200, 1.0) for e in (0, 9, 15, 19)])


def test_a_constant_schedule_keeps_its_rate():
    assert [SCHEDULES["constant"](epoch, 20, 0.3) for epoch in (0, 15, 19)] == [0.3] * 3
