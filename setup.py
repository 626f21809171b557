"""Installs the library echo_tf; the commands (run.py), networks (models/) and studies (configs/) stay in the clone."""

import re
from pathlib import Path

from setuptools import find_packages, setup

VERSION = re.search(r'^__version__ = "(.*)"$', Path(__file__).with_name("echo_tf").joinpath("__init__.py").read_text(), re.M)[1]

setup(
    name="echo_tf",
    version=VERSION,
    description="Rate-distortion in learned representations: Echo noise and its comparison methods for Keras 3",
    license="MIT",
    python_requires=">=3.10,<3.13",
    package_dir={"": "."},  # with it, an editable install is a path: a script beside a clone named echo_tf finds the package
    packages=find_packages(include=["echo_tf", "echo_tf.*"]),
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.12,<4",
        "tensorflow-probability[tf]>=0.25",
        "tensorflow-datasets>=4.9.10",
        "importlib_resources",  # tensorflow-datasets 4.9.10 imports it without declaring it
        'protobuf>=6.31.1,<=6.32; python_version < "3.11"',  # all that TensorFlow and tensorflow-metadata agree on there
        "tensorboard>=2.20",  # tf.summary needs it since TensorFlow 2.21 no longer brings it
        "numpy>=2.0",
        "scipy>=1.13",
        "pandas>=2.2",
        "matplotlib>=3.9",
        "scikit-learn>=1.5",
        "pydantic>=2.7",
        "PyYAML>=6",
        "h5py>=3.10",
        "pillow>=10",
        "filelock>=3.13",
        "threadpoolctl>=3.5",
        "tqdm>=4.66",
    ],
    extras_require={
        "test": ["pytest>=8", "pytest-xdist>=3.5", "ruff>=0.14", "jax>=0.5", "ray>=2.40"],
        "ray": ["ray>=2.40"],
        "bench": ["torch==2.13.0"],
    },
)
