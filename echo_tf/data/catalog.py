"""The datasets that have a name, and what is known of their files."""

from typing import NamedTuple


class Known(NamedTuple):
    """A named dataset.

    title: for tables.
    sizes: number of images by split.
    maximum: the largest pixel value, 1 for binary images and 255 for grey ones.
    file, sha256: the canonical file in the data directory and its hash.
    variant: what the canonical file holds, where it departs from the original or not.
    tfds: the dataset's name in TensorFlow Datasets where it is the same data, else None.
    get: the command that gets it.
    """

    title: str
    sizes: dict
    maximum: int
    file: str | None = None
    sha256: str | None = None
    variant: str = "original"
    tfds: str | None = None
    get: str = ""


_MNIST_SIZES = {"train": 60_000, "test": 10_000}

CATALOG = {
    "binary_mnist": Known(
        "Binary MNIST",
        {"train": 50_000, "valid": 10_000, "test": 10_000},
        1,
        "binarized_mnist.npz",
        "3af50c40abac16f6b963d6bbb3ab35254cefcef7c09428ffb2a2237985ccce64",
        "static binarization of Larochelle",
        "binarized_mnist",
        "run.py data fetch binary_mnist",
    ),
    "omniglot": Known(
        "Omniglot",
        {"train": 24_345, "test": 8_070},
        255,
        "omniglot_28x28.npz",
        "58ca35351b9b3a218836b0714073d884105e53b9ddc96a2f71d7fbf9d2c09dcc",
        "own down-sampling and split, not Burda's",
        None,  # that of TFDS is 105 x 105 with another split
        "run.py data import omniglot chardata.mat",
    ),
    "fashion_mnist": Known(
        "Fashion MNIST",
        _MNIST_SIZES,
        255,
        "fashion_mnist.npz",
        "90955d4d85ddaaba3d9940c781c7393798370c634396a6d9bb355873a4c8ee5f",
        "training images in another order than the original",
        "fashion_mnist",
        "run.py data fetch fashion_mnist",
    ),
    "mnist": Known(
        "MNIST",
        _MNIST_SIZES,
        255,
        "mnist.npz",
        "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64",
        "original",
        "mnist",
        "run.py data fetch mnist",
    ),
    "digits": Known(
        "Digits",
        {"train": 1_500, "test": 297},
        1,
        variant="scikit-learn's digits, scaled to 28x28, binarized with seed 0",
        get="(comes with scikit-learn)",
    ),
}


def title_of(dataset):
    """A dataset's name for a reader: that of the catalogue, or its own."""
    return CATALOG[dataset].title if dataset in CATALOG else dataset
