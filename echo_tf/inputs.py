"""What `fit` takes, looked at before the first step: what a compiled step cannot refuse is refused here, in one line.

Examples come as arrays (numpy, tensors, h5py datasets, DataFrames) or in batches (`tf.data`, a `PyDataset`, a generator, a
PyTorch loader), alone or in tuples whose first part they are.
"""

import keras
import numpy as np


def is_array(data):
    """Whether data are one array of examples, rather than batches."""
    return hasattr(data, "__array__") or (hasattr(data, "shape") and hasattr(data, "__getitem__"))


def number_of(data):
    """How many examples an array holds; None of batches."""
    return data.shape[0] if is_array(data) and len(data.shape) else None


def as_array(data, limits=None):
    """All examples of data, batched or not, as one numpy array (n, ...), checked by `check`.

    Raises:
        ValueError: as `check`, and for no examples at all.
    """
    if is_array(data):
        found = np.asarray(data)
    else:
        batches = [np.asarray(examples_of(batch)) for batch in _each(data)]
        found = np.concatenate(batches) if batches else np.zeros((0, 1))
    check(found, limits)
    return found


def first_batch(data, batch_size):
    """The first examples of data as a numpy array, and data as they are then to be used: a generator cannot be read twice.

    Raises:
        ValueError: for batches that bring sample weights, or dicts.
    """
    if is_array(data):
        return np.asarray(data[: batch_size or 32]), data
    if hasattr(data, "__next__"):
        first = next(data, None)
        data = _after([] if first is None else [first], data)
    else:
        first = next(iter(_each(data)), None)
    return (np.zeros((0, 1)) if first is None else np.asarray(examples_of(first))), data


def examples_of(batch):
    """The examples of a batch (x,), (x, y) or x alone; PyTorch's loaders give lists."""
    if isinstance(batch, tuple) or (isinstance(batch, list) and batch and is_array(batch[0])):
        if len(batch) > 2 and batch[2] is not None:
            refuse_weights(batch[2])
        batch = batch[0]
    if isinstance(batch, dict):
        keys = ", ".join(map(repr, batch))
        raise ValueError(
            f"each batch is a dict with the keys {keys}, expected an array of examples: map it first, as in "
            "dataset.map(lambda batch: tf.cast(batch['image'], 'float32') / 255)."
        )
    return batch


def check(x, limits):
    """Raises ValueError unless x, a numpy array (n, ...), holds finite numbers, within limits (lowest, highest) if given."""
    if x.ndim < 2 or not len(x):
        raise ValueError(f"expected an array of examples (n, ...) with n of 1 or more, got the shape {x.shape}.")
    if x.dtype.kind not in "fiub":
        raise ValueError(f"expected examples of numbers, got the dtype {x.dtype}.")
    lowest, highest = x.min(), x.max()  # NaN, if there is one
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ValueError("expected examples of finite numbers, got NaN or infinity among them.")
    if limits is not None and not (limits[0] <= lowest and highest <= limits[1]):
        raise ValueError(
            f"expected examples between {limits[0]:g} and {limits[1]:g}, got values from {lowest:g} to {highest:g}: "
            f"scale them{' (images of 0..255: divide by 255)' if 1 < highest <= 255 and lowest >= 0 else ''}."
        )


def refuse_weights(weights, name="sample_weight"):
    """Raises ValueError if there are weights."""
    if weights is not None:
        raise ValueError(f"{name} has no meaning here, rate and distortion are plain means over examples: leave it out.")


def split_evenly(number, batch_size):
    """The largest batch size up to `batch_size` that leaves no last batch of one; beyond it only where none does."""
    sizes = [size for size in range(batch_size, 1, -1) if number % size != 1]
    return sizes[0] if sizes else max(number, 1)


def number_of_batches(number, batch_size):
    """Of how many near-equal batches of up to `batch_size` `number` examples are to be made, so that none is of one alone."""
    return min(-(-number // batch_size), max(number // 2, 1))


def _after(first, rest):
    """A generator of both, for Keras takes no other iterator."""
    yield from first
    yield from rest


def _each(data):
    """The batches of one pass through data."""
    if isinstance(data, keras.utils.PyDataset):
        return (data[i] for i in range(len(data)))
    try:
        return iter(data)
    except TypeError:
        raise ValueError(f"expected an array of examples (n, ...), or batches of them, got {data!r}.") from None
