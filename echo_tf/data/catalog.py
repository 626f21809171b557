"""The datasets that have a name, and what is known of their files."""

from typing import NamedTuple


class Known(NamedTuple):
    """A named dataset.

    title: for tables.
    sizes: number of examples by split, of the original.
    maximum: the largest pixel value, 1 for binary images and 255 for grey and coloured ones.
    files: the canonical files in the data directory and their SHA-256.
    variant: what the canonical files hold, where it departs from the original or not.
    tfds: the dataset's name in TensorFlow Datasets where it is the same data, else None.
    get: the command that gets it.
    shape: of an image.
    factors: name -> number of values of the factors of variation, whose grid the images are; {} where there are none.
    packed: whether its binary images are held as bits.
    """

    title: str
    sizes: dict
    maximum: int
    files: dict
    variant: str = "original"
    tfds: str | None = None
    get: str = ""
    shape: tuple = (28, 28, 1)
    factors: dict = {}
    packed: bool = False


_MNIST_SIZES = {"train": 60_000, "test": 10_000}

CATALOG = {
    "binary_mnist": Known(
        "Binary MNIST",
        {"train": 50_000, "valid": 10_000, "test": 10_000},
        1,
        {"binarized_mnist.npz": "3af50c40abac16f6b963d6bbb3ab35254cefcef7c09428ffb2a2237985ccce64"},
        "static binarization of Larochelle",
        "binarized_mnist",
        "run.py data fetch binary_mnist",
    ),
    "omniglot": Known(
        "Omniglot",
        {"train": 24_345, "test": 8_070},
        255,
        {"omniglot_28x28.npz": "58ca35351b9b3a218836b0714073d884105e53b9ddc96a2f71d7fbf9d2c09dcc"},
        "own down-sampling and split, not Burda's",
        None,  # that of TFDS is 105 x 105 with another split
        "run.py data import omniglot chardata.mat",
    ),
    "fashion_mnist": Known(
        "Fashion MNIST",
        _MNIST_SIZES,
        255,
        {"fashion_mnist.npz": "90955d4d85ddaaba3d9940c781c7393798370c634396a6d9bb355873a4c8ee5f"},
        "training images in another order than the original",
        "fashion_mnist",
        "run.py data fetch fashion_mnist",
    ),
    "mnist": Known(
        "MNIST",
        _MNIST_SIZES,
        255,
        {"mnist.npz": "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"},
        "original",
        "mnist",
        "run.py data fetch mnist",
    ),
    "digits": Known(
        "Digits",
        {"train": 1_500, "test": 297},
        1,
        {},
        variant="scikit-learn's digits, scaled to 28x28, binarized with seed 0",
        get="(comes with scikit-learn)",
    ),
    "cifar10": Known(
        "CIFAR-10",
        {"train": 50_000, "test": 10_000},
        255,
        {
            "cifar10_train0.npz": "a186c79e5fa07c695df4f48a2517b59d6f1ed2ec256e68f1c99da1c7ae2ee4a4",
            "cifar10_train1.npz": "4ea35438107cd275424bb20eaa696ce9b00bb8d1dd2bb68756b5dec701ca8810",
            "cifar10_train2.npz": "3e62453e83c349708046ff1f14400e6befaec0731d4029766f33a9714cf7ff09",
            "cifar10_test.npz": "3dfc64bd9848f8e32df5ee78559726634c3d103d2f9bd99088ca0341ed7e88d9",
        },
        "9,980 of the 10,000 test images, in another order than the original",
        "cifar10",
        "run.py data fetch cifar10",
        shape=(32, 32, 3),
    ),
    "dsprites": Known(
        "dSprites",
        {"train": 737_280},
        1,
        {"dsprites.npz": "ec52401168fecef40bd8320a8c552575794deffb457f12f394bf3dd12995c8f5"},
        "672,446 of the 737,280 images drawn anew, about 60 of them with one pixel that is not the original's",
        "dsprites",
        "run.py data fetch dsprites",
        shape=(64, 64, 1),
        factors={"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32},
        packed=True,
    ),
    "omniglot_105": Known(
        "Omniglot 105x105",
        {"train": 19_280, "test": 13_180},
        1,
        {"omniglot_raw.npz": "6f04069e8885f91f961b924f9b3da60949def3451b7c87d49430bccffea6f17b"},
        "original images, ink 1; background set for training, evaluation set for testing",
        None,  # that of TFDS has three equal channels, ink 0
        "run.py data import omniglot_105 FILE.npz (x_train, x_test, ink 1)",
        shape=(105, 105, 1),
        packed=True,
    ),
}

FETCHABLE = tuple(name for name, known in CATALOG.items() if known.tfds)  # what `run.py data fetch` can download


def title_of(dataset: str) -> str:
    """A dataset's name for a reader: that of the catalogue, or its own."""
    return CATALOG[dataset].title if dataset in CATALOG else dataset
