import pytest

from tests.bad_inputs import failures


@pytest.mark.parametrize("seed", [0, 1])
def test_bad_inputs_of_every_sort_end_in_one_line(seed):
    """More of them: python -m tests.bad_inputs 300."""
    assert failures(40, seed) == []
