"""Datasets by name."""

from echo_tf.data.catalog import CATALOG
from echo_tf.data.images import ImageData
from echo_tf.data.loading import data_directory, load, load_once

__all__ = ["CATALOG", "ImageData", "data_directory", "load", "load_once"]
