from tests.bad_inputs import failures


def test_bad_inputs_of_every_sort_end_in_one_line():
    """More of them: python -m tests.bad_inputs 300."""
    assert failures(40, seed=0) == []
