"""Runs that take seconds: tiny images, a tiny network, and the tools that a test hands to a run."""

import numpy as np

from echo_tf.data import ImageData
from echo_tf.kinds import autoencoder
from echo_tf.runs.place import Tools
from echo_tf.runs.runner import run as run_settings
from models import kingma2014, nakagawa2021

TINY = {"study": "tests", "dataset": "tiny", "method": "echo", "network": "kingma2014", "epochs": 2, "batch_size": 10}
TINY |= {"latent_dim": 3, "width": 0.1, "learning_rate": 0.02}


def tiny_images():
    rng = np.random.default_rng(0)
    lengths = {name: rng.integers(1, 8, (n, 1, 1, 1)) for name, n in (("train", 45), ("test", 23))}
    bars = {name: np.arange(8)[:, None] < length for name, length in lengths.items()}
    splits = {name: np.broadcast_to(x, (len(x), 8, 8, 1)).astype(np.uint8) for name, x in bars.items()}
    factors = {"train": lengths["train"].reshape(-1, 1) - 1}
    return ImageData("tiny", "bars", "made here", splits, 1, factors=factors, factor_names=("length",))


def tools(place, load=tiny_images, network=kingma2014):
    networks = {"nakagawa2021": nakagawa2021}  # the toy sources are no images
    return Tools(lambda name: networks.get(name, network), lambda name: load(), place / "results", place / "work", verbose=0)


def tiny(**settings):
    return autoencoder.Settings(**{**TINY, **settings})


def run(place, load=tiny_images, network=kingma2014, **settings):
    """(record, whether it was there) of a training."""
    result, existed = run_settings(tiny(**settings), tools(place, load, network))
    return result.record, existed
