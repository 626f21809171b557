"""The training loop that kinds share: Keras's `fit`, with checkpoints, a history, and a stop on request or on NaN."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from echo_tf.runs import checkpoints
from echo_tf.runs.batches import ShuffledBatches

SECONDS_BETWEEN_LINES = 5  # of output that no terminal shows


class Trained(NamedTuple):
    """What came of a training.

    history: an entry an epoch, or a checkpoint where steps are counted.
    diverged: whether the loss became NaN; the model is then as the last finite step left it.
    unit: "epochs" or "steps".
    """

    history: list[dict]
    diverged: bool
    unit: str

    def said(self) -> dict:
        """What a record says of any training; of one that diverged, its status and the reason too."""
        said = {"history": self.history, "train_seconds": round(sum(entry["seconds"] for entry in self.history), 1)}
        if self.diverged:
            done = self.history[-1][self.unit.removesuffix("s")] if self.history else 0
            kept = " (last finite checkpoint kept)" if done else ""
            said |= {"status": "diverged", "reason": f"diverged after {done} {self.unit}{kept}"}
        return said


def fit(
    model: keras.Model,
    take: Callable,
    number: int,
    settings,
    place,
    *,
    columns: Mapping[str, str],
    holders: Mapping[str, Any] | None = None,
    callbacks: Callable[[], Sequence[keras.callbacks.Callback]] = list,
) -> Trained:
    """Trains a compiled model for as long as its settings say, from where its newest checkpoint stands.

    Args:
        take, number: rows -> batch and the number of training examples, as in `ShuffledBatches`.
        settings: with batch_size, seed, `stride` and `amount`.
        place: the run's `Place`.
        columns: what `fit` reports -> its name in the history, with the unit.
        holders: name -> model or optimizer whose state makes the checkpoint; None: the model and its optimizer.
        callbacks: () -> further Keras callbacks, which come before the checkpoint is written.
    """
    holders = holders or {"model": model, "optimizer": model.optimizer}
    total, unit = settings.amount
    stride = settings.stride
    history = _restore(place, holders)
    done = len(history)
    progress = _Progress(place, holders, history, columns, unit, stride)
    if done * stride < total:
        steps = stride if unit == "steps" else number // settings.batch_size
        batches = ShuffledBatches(take, number, settings.batch_size, settings.seed, steps, done * steps)
        model.fit(
            batches,
            shuffle=False,
            epochs=total // stride,
            initial_epoch=done,
            verbose=1 if place.verbose == 1 else 0,
            callbacks=[*callbacks(), progress, *([_Lines(total, unit, stride)] if place.verbose == 2 else [])],
        )
    return Trained(history, progress.diverged, unit)


def _restore(place, holders):
    """Puts the newest checkpoint into its holders, and returns its history."""
    variables = checkpoints.variables_of(holders)
    state = place.restore({name: variable.shape for name, variable in variables.items()})
    if state is None or not isinstance(state.notes, list):
        return []
    for name, variable in variables.items():
        variable.assign(state.arrays[name])
    return state.notes


class _Progress(keras.callbacks.Callback):
    """Keeps the history and the checkpoints; stops on NaN and on request."""

    def __init__(self, place, holders, history, columns, unit, stride):
        super().__init__()
        self.place, self.holders, self.history, self.columns = place, holders, history, columns
        self.unit, self.stride, self.diverged = unit.removesuffix("s"), stride, False

    def on_epoch_begin(self, epoch, logs=None):
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.place.check()
        if not math.isfinite(logs["loss"]):
            self.diverged = self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if self.diverged:
            return
        done = (epoch + 1) * self.stride
        entry = {self.unit: done}
        entry.update({name: float(logs[key]) for key, name in self.columns.items() if key in logs})
        self.history.append({**entry, "seconds": round(time.perf_counter() - self._started, 3)})
        variables = checkpoints.variables_of(self.holders)
        self.place.save(done, {k: ops.convert_to_numpy(v.value) for k, v in variables.items()}, self.history)


class _Lines(keras.callbacks.Callback):
    """A line an epoch, at most one every few seconds, and the last."""

    def __init__(self, total, unit, stride):
        super().__init__()
        self.total, self.unit, self.stride, self._last = total, unit, stride, -math.inf

    def on_epoch_end(self, epoch, logs=None):
        done, now = (epoch + 1) * self.stride, time.monotonic()
        if done < self.total and now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        terms = ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
        print(f"{done:,} of {self.total:,} {self.unit}: {terms}", flush=True)
