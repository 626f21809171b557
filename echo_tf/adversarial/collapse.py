"""What tells whether a generator has collapsed: numbers of its samples beside those of the data. No tensors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

AT_ONCE = 10_000  # training images that distances are computed to
LEAST_SPREAD = 0.5  # of the data's
LEAST_DISTINCT = 0.5  # of the test images' share of distinct nearest training images
COVERED = 0.1  # of an equal share of the samples, for a class to count as covered
TRUSTED = 0.8  # accuracy of the classifier, for its classes to say anything


class Nearest(NamedTuple):
    """Of some images: the row of the nearest training image (n,), and the squared distance to it (n,)."""

    rows: np.ndarray
    squared: np.ndarray


def indicators(samples, train, test, train_labels=None, test_labels=None) -> dict:
    """How far samples are spread, how near they are to training images, and which classes they cover.

    The classifier is the nearest training image; how good it is, its accuracy on the test images tells.

    Args:
        samples: (n, ...) of the generator.
        train: images (N, ...) that it was trained on. train_labels: (N,) integers, or None.
        test: images (m, ...) that it was not, and that are none of `train`: what the same numbers are of new images of the
            data. test_labels: as above.

    Returns:
        spread_sse, test_spread_sse: mean squared distance between two samples, and between two test images.
        nearest_sse, test_nearest_sse: mean squared distance to the nearest training image.
        distinct_nearest_share, test_distinct_nearest_share: different ones among the nearest training images of so many
            samples, and of as many test images: the number is that of the fewer, for the more there are, the more repeat.
        with labels: class_shares (C,) of the samples, covered_classes, classes, class_entropy_nats, classifier_accuracy_share;
            missed_classes_by_chance: how many as many draws from the training images would be expected not to cover.
        signs: of a collapse, sentences; [] where there is none.

    Raises:
        ValueError: for images of different sizes, fewer than two samples or test images, labels of another number.
    """
    samples, train, test = (np.asarray(x, np.float32) for x in (samples, train, test))
    shapes = samples.shape, train.shape, test.shape
    if len({shape[1:] for shape in shapes}) > 1 or samples.ndim < 2 or min(len(samples), len(test)) < 2 or not len(train):
        raise ValueError(
            "samples, train and test must be images (n, ...) of one size, two samples and two test images or more, got "
            f"{shapes[0]}, {shapes[1]} and {shapes[2]}."
        )
    samples, train, test = (x.reshape(len(x), -1) for x in (samples, train, test))
    for name, labels, images in (("train_labels", train_labels, train), ("test_labels", test_labels, test)):
        if labels is not None and np.shape(labels) != (len(images),):
            raise ValueError(f"{name} must be of the shape ({len(images)},), an integer an image, got {np.shape(labels)}.")
    test = test[: len(samples)]
    of_samples, of_test = nearest(samples, train), nearest(test, train)
    together = min(len(samples), len(test))
    found = {
        "spread_sse": spread(samples),
        "test_spread_sse": spread(test),
        "nearest_sse": float(of_samples.squared.mean()),
        "test_nearest_sse": float(of_test.squared.mean()),
        "distinct_nearest_share": _distinct_share(of_samples.rows, together),
        "test_distinct_nearest_share": _distinct_share(of_test.rows, together),
    }
    if train_labels is not None and test_labels is not None:
        labels, truth = np.asarray(train_labels), np.asarray(test_labels)[: len(test)]
        found |= _classes(labels[of_samples.rows], labels, float(np.mean(labels[of_test.rows] == truth)))
    return {**found, "signs": signs(found)}


def _distinct_share(rows, number):
    """The share of different ones among `number` rows, the mean over all groups of so many."""
    groups = rows[: len(rows) // number * number].reshape(-1, number)
    return float(np.mean([len(np.unique(group)) for group in groups]) / number)


def _classes(of_samples, of_train, accuracy):
    known, counts = np.unique(of_train, return_counts=True)
    shares = np.array([np.mean(of_samples == one) for one in known])
    positive = shares[shares > 0]
    least = COVERED / len(known)
    by_chance = stats.binom.cdf(np.ceil(least * len(of_samples)) - 1, len(of_samples), counts / len(of_train))
    return {
        "class_shares": shares.tolist(),
        "covered_classes": int((shares >= least).sum()),
        "classes": len(known),
        "missed_classes_by_chance": float(by_chance.sum()),
        "class_entropy_nats": float(-(positive * np.log(positive)).sum()),
        "classifier_accuracy_share": accuracy,
    }


def signs(found: dict) -> Sequence[str]:
    """The signs of a collapse in the numbers of `indicators`, a sentence each."""
    said = []
    if not found["spread_sse"] >= LEAST_SPREAD * found["test_spread_sse"]:
        said.append(f"samples spread over {found['spread_sse']:.3g}, test images over {found['test_spread_sse']:.3g}")
    if not found["distinct_nearest_share"] >= LEAST_DISTINCT * found["test_distinct_nearest_share"]:
        shares = found["distinct_nearest_share"], found["test_distinct_nearest_share"]
        said.append("{:.0%} of the nearest training images are distinct, of test images {:.0%}".format(*shares))
    trusted = found.get("classifier_accuracy_share", 0.0) >= TRUSTED
    by_chance = found.get("missed_classes_by_chance", 0.0)
    if trusted and found["classes"] - found["covered_classes"] > by_chance + 3 * by_chance**0.5:  # a count's deviation
        said.append(f"samples cover {found['covered_classes']} of {found['classes']} classes")
    return said


def spread(images: np.ndarray) -> float:
    """The mean squared distance between two different ones of some images (n, d), n of 2 or more: twice their variance."""
    images = np.asarray(images, np.float64)
    return float(2 * images.var(axis=0, ddof=1).sum())


def nearest(images: np.ndarray, train: np.ndarray) -> Nearest:
    """The nearest of the training images (N, d) to each of some images (n, d), by squared distance."""
    center = train.mean(axis=0, dtype=np.float64)  # near the data's middle little is cancelled below
    images, train = ((x - center).astype(np.float32) for x in (images, train))
    rows, best = np.zeros(len(images), np.int64), np.full(len(images), np.inf)
    norms = np.einsum("nd,nd->n", images, images, dtype=np.float64)
    for first in range(0, len(train), AT_ONCE):
        block = train[first : first + AT_ONCE]
        squared = norms[:, None] + np.einsum("nd,nd->n", block, block, dtype=np.float64) - 2.0 * (images @ block.T)
        places = squared.argmin(axis=1)
        values = squared[np.arange(len(images)), places]
        rows, best = np.where(values < best, first + places, rows), np.minimum(values, best)
    return Nearest(rows, np.maximum(best, 0.0))
