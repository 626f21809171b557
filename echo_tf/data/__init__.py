"""Datasets by name; see README.md beside this file."""

from echo_tf.data.arrays import PackedImages
from echo_tf.data.catalog import CATALOG
from echo_tf.data.dataset import Dataset, ImageData
from echo_tf.data.loading import data_directory, load, load_once

__all__ = ["CATALOG", "Dataset", "ImageData", "PackedImages", "data_directory", "load", "load_once"]
