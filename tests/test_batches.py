import numpy as np

from echo_tf.runs.batches import ShuffledBatches, epoch_order


def batches(**settings):
    return ShuffledBatches(lambda rows: rows, 25, 10, seed=3, **settings)


def test_every_epoch_has_an_order_of_its_own_that_any_process_finds_again():
    orders = [epoch_order(25, 3, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(25)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert not np.array_equal(epoch_order(25, 3, 0), epoch_order(25, 4, 0))
    np.testing.assert_array_equal(orders[1], epoch_order(25, 3, 1))


def test_a_training_continued_at_any_step_sees_what_it_would_have_seen():
    whole = batches(steps=7)
    seen = [whole[i] for i in range(7)]
    for first in range(7):
        rest = batches(steps=7 - first, first=first)
        np.testing.assert_array_equal([rest[i] for i in range(len(rest))], seen[first:])
    whole.on_epoch_end()
    np.testing.assert_array_equal(whole[0], batches(first=7)[0])


def test_the_remainder_of_an_epoch_is_left_out():
    found = batches()
    assert len(found) == 2
    np.testing.assert_array_equal(np.concatenate([found[0], found[1]]), epoch_order(25, 3, 0)[:20])
