"""Stacked training on all cores: each process takes an equal share of a group's runs, and one core.

The matrices of a step are too small to be shared out among cores, but runs do not meet at all. Each share is still one stacked
model in one compiled loop.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence

import numpy as np

from echo_tf.isometry.stacked import State, advance


def shares(number: int, processes: int | None = None) -> list[range]:
    """What each process takes of so many runs; processes None: as many as cores, or one where there is a GPU."""
    if processes is None:
        from echo_tf.guards import on_tensorflow_cpu

        processes = len(os.sched_getaffinity(0)) if on_tensorflow_cpu() and hasattr(os, "sched_getaffinity") else 1
    parts = np.array_split(np.arange(number), max(1, min(processes, number)))
    return [range(part[0], part[-1] + 1) for part in parts]


@contextlib.contextmanager
def training(members: Sequence, parts: Sequence[range]):
    """Gives a function as `stacked.advance`, but for (network, recipe, points, state, first_epoch, epochs), of all members.

    One part is trained in this process, several each in a process of its own.
    """
    if len(parts) == 1:
        yield lambda network, recipe, points, *rest: advance(network, recipe, members, points, *rest)
        return
    pool = concurrent.futures.ProcessPoolExecutor(len(parts), multiprocessing.get_context("spawn"), _begin)
    try:
        yield _divided(pool.submit, members, parts)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _divided(submit: Callable, members, parts):
    def advance_all(network, recipe, points, state, first_epoch, epochs):
        waiting = [
            submit(advance, network, recipe, [members[i] for i in part], points, _of(state, part), first_epoch, epochs)
            for part in parts
        ]
        states, means = zip(*(future.result() for future in waiting))
        joined = State(*([np.concatenate(arrays) for arrays in zip(*lists)] for lists in zip(*states)))
        return joined, np.concatenate(means, axis=1)

    return advance_all


def _of(state, part):
    return State(*([a[part.start : part.stop] for a in arrays] for arrays in state))


def _begin():
    """A process with one core, which a Ctrl-C that is meant for its parent does not stop, and which ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
