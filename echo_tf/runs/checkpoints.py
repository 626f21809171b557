"""Checkpoints of a training run: everything that the next epoch depends on, in one file that is never half-written."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from keras import ops

from echo_tf.errors import InputError
from echo_tf.files import write_atomically

KEEP = 2


def save(folder, model, history):
    """Writes the state after len(history) epochs and removes all but the newest two checkpoints.

    The state is every variable of the model (weights and the state of its random generators) and of the
    optimizer, bit for bit, and the history.
    """
    buffer = io.BytesIO()
    np.savez(buffer, history=json.dumps(history), **{k: ops.convert_to_numpy(v.value) for k, v in _state(model).items()})
    write_atomically(Path(folder) / f"checkpoint-{len(history):05d}.npz", buffer.getvalue())
    for old in _newest_first(folder)[KEEP:]:
        old.unlink()


def restore(folder, model):
    """Puts the newest readable checkpoint into the model and returns its history ([] if there is none).

    Raises:
        InputError: if there are readable checkpoints, and all are another network's.
    """
    state, of_another = _state(model), None
    for path in _newest_first(folder):
        try:
            with zipfile.ZipFile(path) as archive:  # numpy stops reading where a header says, and then compares no checksum
                if archive.testzip() is not None:
                    continue
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            history = json.loads(str(arrays.pop("history")))
        except Exception:  # damaged since it was written, which shows in many ways: the one before it is there for this
            continue
        if {k: v.shape for k, v in arrays.items()} != {k: tuple(v.shape) for k, v in state.items()}:
            of_another = of_another or path
            continue
        for name, variable in state.items():
            variable.assign(arrays[name])
        return history
    if of_another is not None:
        raise InputError(f"{of_another} is a checkpoint of another network: remove {folder} to train this one from the start.")
    return []


def epochs_done(folder):
    """The number of epochs of the newest checkpoint in a folder, 0 if there is none."""
    return max((int(path.stem.partition("-")[2]) for path in _newest_first(folder)), default=0)


def remove(folder):
    """Removes all checkpoints, when the run is finished and recorded."""
    for path in _newest_first(folder):
        path.unlink()


def _newest_first(folder):
    return sorted(Path(folder).glob("checkpoint-*.npz"), reverse=True)


def _state(model):
    """All state, numbered: model variables include the seed generators' states.

    Keras's own names would not do: they count the layers that the process has made so far.
    """
    return {f"{i:04d}": variable for i, variable in enumerate([*model.variables, *model.optimizer.variables])}
