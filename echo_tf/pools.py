"""Pools of training encodings for the Echo layers of any Keras model."""

import keras

from echo_tf import arguments
from echo_tf.echo_sample import EchoSample
from echo_tf.guards import forget_compiled
from echo_tf.inputs import examples_of, is_array, number_of_batches


def adapt(model, x, batch_size=100):
    """Lets every `EchoSample` in a model keep the encodings of training examples as its pool of donors.

    A single example can then be encoded. The layers may stand anywhere in the model, in models within it too; functions
    compiled before are compiled anew, so that they see the pools.

    Args:
        model: a Keras model.
        x: what the model takes: an array, a list or dict of arrays, or batches (their first part, of tuples).
        batch_size: for arrays.

    Raises:
        ValueError: for a model without an `EchoSample`, or batches of fewer than two examples.
    """
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, EchoSample)]
    if not layers:
        raise ValueError(f"adapt looks for EchoSample layers, and {model.name!r} has none.")
    try:
        for layer in layers:
            layer.record()
        for batch in _batches(x, batch_size):
            model(batch, training=False)
    finally:
        found = [layer.recorded() for layer in layers]
    for layer, encodings in zip(layers, found):
        layer.adapt(encodings)
    forget_compiled(model)


def _batches(x, batch_size):
    """Near-equal batches of arrays, none of one example alone; or the given batches."""
    arguments.integer("batch_size", batch_size, 2, why=" (Echo noise is made of other examples)")
    arrays = keras.tree.flatten(x)
    if not all(map(is_array, arrays)):
        yield from (examples_of(batch) for batch in x)
        return
    number = len(arrays[0])
    parts = number_of_batches(number, batch_size)
    for i in range(parts):
        start, end = number * i // parts, number * (i + 1) // parts
        yield keras.tree.map_structure(lambda array: keras.ops.convert_to_tensor(array[start:end]), x)  # noqa: B023
