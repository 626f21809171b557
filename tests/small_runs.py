"""Runs that take seconds: tiny images, a tiny network, and the tools that a test hands to a run."""

import importlib

import numpy as np

from echo_tf.data import ImageData
from echo_tf.kinds import autoencoder
from echo_tf.runs.place import Tools
from echo_tf.runs.runner import run as run_settings

TINY = {"study": "tests", "dataset": "tiny", "method": "echo", "network": "kingma2014", "epochs": 2, "batch_size": 10}
TINY |= {"latent_dim": 3, "width": 0.1, "learning_rate": 0.02}


def tiny_images():
    rng = np.random.default_rng(0)
    lengths = {name: rng.integers(1, 8, (n, 1, 1, 1)) for name, n in (("train", 45), ("test", 23))}
    bars = {name: np.arange(8)[:, None] < length for name, length in lengths.items()}
    splits = {name: np.broadcast_to(x, (len(x), 8, 8, 1)).astype(np.uint8) for name, x in bars.items()}
    factors = {"train": lengths["train"].reshape(-1, 1) - 1}
    return ImageData("tiny", "bars", "made here", splits, 1, factors=factors, factor_names=("length",))


def labelled_images():
    """Noise of 16 x 16 pixels, brighter by class."""
    rng = np.random.default_rng(0)
    labels = {name: np.arange(n) % 3 for name, n in (("train", 60), ("test", 30))}
    splits = {
        name: np.clip(80 * y[:, None, None, None] + rng.integers(0, 60, (len(y), 16, 16, 1)), 0, 255).astype(np.uint8)
        for name, y in labels.items()
    }
    return ImageData("labelled", "noise", "made here", splits, 255, labels)


def tools(place, load=tiny_images, network=None):
    """network: a module in place of every network; None: those of `models/` by their names."""

    def named(name):
        return network or importlib.import_module(f"models.{name}")

    def loaded(name):
        return labelled_images() if name == "labelled" else load()

    return Tools(named, loaded, place / "results", place / "work", verbose=0)


def tiny(**settings):
    return autoencoder.Settings(**{**TINY, **settings})


def run(place, load=tiny_images, network=None, **settings):
    """(record, whether it was there) of a training."""
    result, existed = run_settings(tiny(**settings), tools(place, load, network))
    return result.record, existed
