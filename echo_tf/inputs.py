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


def as_array(data, limits=None, head=None):
    """All examples of data, batched or not, as one numpy array (n, ...), checked by `check`.

    Raises:
        ValueError: as `check`, for no examples at all, and for a dataset without an end.
    """
    if is_array(data):
        found = np.asarray(data)
    else:
        refuse_endless(data)
        batches = [np.asarray(examples_of(batch)) for batch in _each(data)]
        found = np.concatenate(batches) if batches else np.zeros((0, 1))
    check(found, limits, head)
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


def refuse_endless(data, steps=None, name=None):
    """Raises ValueError for a dataset that repeats for ever, unless it is said how many `steps` of it are meant, by `name`."""
    if steps is None and _is_endless(data):
        way_out = f", or give {name}" if name else ""
        raise ValueError(f"expected a dataset that ends, got one that repeats for ever: leave repeat() out{way_out}.")


def _is_endless(data):
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches is None
    return hasattr(data, "element_spec") and callable(getattr(data, "cardinality", None)) and int(data.cardinality()) == -1


def check_batches(number, batch_size, least, part):
    """Raises ValueError for training batches of `batch_size` that are fewer than `least` examples, or whose last one is, if
    they are of `number` examples (None: unknown). least, part: the fewest that a part of a model takes, and what it is."""
    short = batch_size if batch_size < least else (number or 0) % batch_size
    if 0 < short < least:
        said = f"batches of {batch_size}" if number is None else f"{number} examples in batches of {batch_size}"
        said += " are too small" if batch_size < least else f" leave a last batch of {short}"
        fitting = split_evenly(number or least, max(batch_size, least), least)
        way_out = f"take batch_size={fitting}" + ("" if batch_size < least else f", or leave {short} out")
        raise ValueError(f"{said}, and {part} needs {least} examples or more in a training batch: {way_out}.")


def without_short(data, least, part):
    """Batches as they are, but one of fewer than `least` examples raises ValueError when it is read, before its step, for a
    step may be unable to refuse it: XLA drops the checks of a graph. Loaders of PyTorch are handed on as they are."""
    if least < 2:
        return data
    why = f"{part} needs {least} examples or more in a training batch, and one has fewer: batch the data otherwise, or with "
    why += "drop_remainder=True."

    def look(batch):
        if len(examples_of(batch)) < least:
            raise ValueError(why)
        return batch

    def look_in_graph(*parts):
        import tensorflow as tf

        batch = parts if isinstance(data.element_spec, tuple) else parts[0]
        with tf.control_dependencies([tf.debugging.Assert(tf.shape(parts[0])[0] >= least, [why])]):
            return tf.nest.map_structure(tf.identity, batch)

    if isinstance(data, keras.utils.PyDataset):
        return _Looking(data, look)
    if hasattr(data, "__next__"):
        return (look(batch) for batch in data)
    return data.map(look_in_graph) if hasattr(data, "element_spec") and hasattr(data, "map") else data


class _Looking(keras.utils.PyDataset):
    """A `PyDataset` whose batches are looked at as they come."""

    def __init__(self, data, look):
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self.data, self.look = data, look

    @property
    def num_batches(self):
        return self.data.num_batches

    def __getitem__(self, index):
        return self.look(self.data[index])

    def on_epoch_begin(self):
        self.data.on_epoch_begin()

    def on_epoch_end(self):
        self.data.on_epoch_end()


def check(x, limits=None, head=None):
    """Raises ValueError unless x, a numpy array (n, ...), holds finite numbers, in a range as `check_range` has it."""
    if x.ndim < 2 or not len(x):
        raise ValueError(f"expected an array of examples (n, ...) with n of 1 or more, got the shape {x.shape}.")
    if x.dtype.kind not in "fiub":
        raise ValueError(f"expected examples of numbers, got the dtype {x.dtype}.")
    lowest, highest = x.min(), x.max()  # NaN, if there is one
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ValueError("expected examples of finite numbers, got NaN or infinity among them.")
    check_range(lowest, highest, limits, head)


def check_range(lowest, highest, limits=None, head=None):
    """Raises ValueError for values that a distortion does not take, or that a decoder's output cannot meet.

    Args:
        lowest, highest: of the values.
        limits: (lowest, highest) that the distortion takes, or None.
        head: (lowest, highest) of the decoder's output, or None. Of one that goes below 0, as a tanh does, values none of
            which is below 0 are refused too: those are of another scale.
    """
    got = f"got values from {lowest:g} to {highest:g}"
    for bounds, fits in ((limits, ""), (head, ", but the decoder's output lies in {:g}..{:g}")):
        if bounds is not None and not bounds[0] <= lowest <= highest <= bounds[1]:
            said = f"of {bounds[0]:g} or more" if bounds[1] == np.inf else f"between {bounds[0]:g} and {bounds[1]:g}"
            by = {(0, 1): "divide by 255", (-1, 1): "divide by 127.5 and subtract 1"}.get(bounds, "")
            hint = f" (images of 0..255: {by})" if by and 1 < highest <= 255 and lowest >= 0 else ""
            raise ValueError(f"expected examples {said}, {got}{fits.format(*bounds)}: scale them{hint}.")
    if head is not None and head[0] < 0 <= lowest:
        raise ValueError(
            f"expected examples between {head[0]:g} and {head[1]:g}, {got}, none below 0, but the decoder's output lies in "
            f"{head[0]:g}..{head[1]:g}: scale them (2 x - 1 of images in 0..1)."
        )


def refuse_weights(weights, name="sample_weight"):
    """Raises ValueError if there are weights."""
    if weights is not None:
        raise ValueError(f"{name} has no meaning here, rate and distortion are plain means over examples: leave it out.")


def split_evenly(number, batch_size, least=2):
    """The largest batch size up to `batch_size` that leaves no last batch of fewer than `least`; beyond it only where none
    does."""
    sizes = [size for size in range(batch_size, least - 1, -1) if not 0 < number % size < least]
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
        return (data[i] for i in range(data.num_batches))
    try:
        return iter(data)
    except TypeError:
        raise ValueError(f"expected an array of examples (n, ...), or batches of them, got {data!r}.") from None
