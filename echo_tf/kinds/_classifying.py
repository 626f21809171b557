"""The work of the kind `classifier`."""

import keras
import numpy as np

from echo_tf.errors import InputError
from echo_tf.kinds._networks import builder_of, check_network
from echo_tf.kinds._training import data_of, num_training_images
from echo_tf.optimizers import FusedAdam
from echo_tf.runs.fitting import fit

AT_ONCE = 500


def perform(settings, place):
    """Trains, tests and saves the classifier of `classifier.Settings`. Returns what the record says of it."""
    network = place.network(settings.network)
    check_network(settings, network, ("classifier",))
    data, said = data_of(settings, place)
    split = "test" if "test" in data.splits else "train"
    if not {"train", split} <= data.labels.keys():
        raise InputError(f"a classifier needs labels, and {data.name} has none: take dataset=mnist, say.")
    number = num_training_images(settings, data)
    labels = np.asarray(data.labels["train"]).astype(np.int64)
    try:
        model = builder_of(settings, network, "classifier", data.image_shape)(num_classes=int(labels.max()) + 1)
    except ValueError as error:
        raise InputError(f"{settings.network} cannot be built for {settings.dataset}: {error}") from error
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(FusedAdam(settings.learning_rate), loss, metrics=["accuracy"], jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    trained = fit(
        model,
        lambda rows: (data.floats("train", rows), labels[rows]),
        number,
        settings,
        place,
        columns={"loss": "cross_entropy_nats", "accuracy": "accuracy_share"},
    )
    payload = {"data": {"train_images_used": number, **said}, "parameters": model.count_params(), **trained.said()}
    if trained.diverged:
        return payload
    place.check()
    x, y = data.floats(split), np.asarray(data.labels[split]).astype(np.int64)
    logits = np.concatenate([np.asarray(model(x[i : i + AT_ONCE], training=False)) for i in range(0, len(x), AT_ONCE)])
    entropies = np.logaddexp.reduce(logits.astype(np.float64), axis=1) - logits[np.arange(len(y)), y]
    place.keep(model)
    accuracy = float(np.mean(logits.argmax(axis=1) == y))
    test = {"cross_entropy_nats": float(entropies.mean()), "accuracy_share": accuracy, "images": len(x), "split": split}
    return {**payload, "test": test}
