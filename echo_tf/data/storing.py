"""Writes a `Dataset` as a prepared TFDS dataset: whole and compared with what was to be written, or not at all."""

import contextlib
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import filelock
import numpy as np

from echo_tf.data import prepared, tfds_reading
from echo_tf.data.arrays import PackedImages
from echo_tf.data.dataset import Dataset
from echo_tf.errors import InputError

VERSION = "1.0.0"
BLOCK = 1024  # packed images in an example of TFDS
NO_LABEL = -1  # of the examples of a split without labels, where others have them; never read back


@contextlib.contextmanager
def alone(name: str, directory: Path) -> Iterator[None]:
    """Keeps others from importing the same name meanwhile, and removes what an import that was killed has left of it.

    Raises:
        InputError: if another process is importing it.
    """
    path = directory / f".{name}.lock"
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(f"another process is importing {name} into {directory}: wait for it.") from None
    try:
        for left in [*directory.glob(f".{name}.incomplete-*"), *(directory / name).glob("incomplete.*")]:
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def store(data: Dataset, directory: Path) -> Path:
    """Writes a dataset beside its place, reads it back, compares, and only then gives it its name. Returns its folder.

    Raises:
        InputError: if it cannot be written, or comes back changed.
    """
    staging = Path(tempfile.mkdtemp(dir=directory, prefix=f".{data.name}.incomplete-"))
    try:
        _write(data, staging)
        written = staging / data.name / VERSION
        _compare(data, written)
        folder = directory / data.name / VERSION
        folder.parent.mkdir(exist_ok=True)
        written.rename(folder)
        return folder
    except (InputError, MemoryError, ImportError):
        raise
    except Exception as error:  # TFDS and TensorFlow raise what they like
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"cannot write {data.name} to {directory} ({type(error).__name__}: {said}). Make room or give another folder."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write(data, directory):
    tfds = tfds_reading.import_tfds()
    features = _features(data)
    notes = {
        "maximum": data.maximum,
        "limits": [float(limit) for limit in data.limits],
        "shape": list(data.image_shape),
        "sizes": {split: len(x) for split, x in data.splits.items()},
        "sha256": data.sha256,
        "labelled": list(data.labels),
        "class_names": list(data.class_names),
        "factor_names": list(data.factor_names),
        "factor_sizes": list(data.factor_sizes),
        "features": list(features),
    }

    class Builder(tfds.dataset_builders.AdhocBuilder, skip_registration=True):
        """As `store_as_tfds_dataset` makes, with notes beside the features."""

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                description=f"{data.variant} {prepared.MARK}",
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,  # or the order is by a hash
                metadata=tfds.core.MetadataDict({prepared.OURS: prepared.sealed(notes)}),
            )

    with _quietly(tfds), contextlib.redirect_stdout(io.StringIO()):  # where TFDS speaks of downloading
        splits = {split: _examples(data, split, next(iter(features))) for split in data.splits}
        Builder(
            name=data.name, version=VERSION, features=None, split_datasets=splits, data_dir=directory
        ).download_and_prepare()


@contextlib.contextmanager
def _quietly(tfds):
    """Without progress bars where nobody watches."""
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        yield
    finally:
        tfds.enable_progress_bar()


def _features(data):
    """The features of TFDS, that of the examples first."""
    kinds, shape = tfds_reading.import_tfds().features, data.image_shape
    examples, packed = _stored(data.splits["train"])
    block = (None,) if packed else ()
    key = tfds_reading.PACKED if packed else "image" if len(shape) == 3 else "vector"
    if key == "image" and examples.dtype == np.uint8 and shape[-1] in (1, 3, 4):
        features = {key: kinds.Image(shape=shape, encoding_format="png")}
    else:
        features = {key: kinds.Tensor(shape=(*block, *examples.shape[1:]), dtype=examples.dtype, encoding="bytes")}
    if data.labels:
        named = data.class_names and not packed
        features["label"] = kinds.ClassLabel(names=data.class_names) if named else kinds.Tensor(shape=block, dtype=np.int64)
    if data.factors:
        features["factors"] = kinds.Tensor(shape=(*block, len(data.factor_sizes)), dtype=np.int64)
    return features


def _stored(examples):
    """The array that is written of a split's examples, and whether it is of bits."""
    return (examples.bits, True) if isinstance(examples, PackedImages) else (examples, False)


def _examples(data, split, key):
    """(key, example) of TFDS in order."""
    examples, packed = _stored(data.splits[split])
    columns = {key: examples}
    if data.labels:
        columns["label"] = data.labels.get(split, np.full(len(examples), NO_LABEL))
    if data.factors:
        columns["factors"] = data.factors[split]
    for i in range(0, len(examples), BLOCK if packed else 1):
        rows = slice(i, i + BLOCK) if packed else i
        yield i, {one: x[rows] if one == key else x[rows].astype(np.int64) for one, x in columns.items()}


def _compare(data, folder):
    """Raises InputError unless what was written is what was to be."""
    prepared.describe(folder)
    keys = list(_features(data))
    for split in data.splits:
        examples, _ = _stored(data.splits[split])
        columns = {keys[0]: examples, "label": data.labels.get(split), "factors": data.factors.get(split)}
        start = 0
        for batch in tfds_reading.batches(folder, split, keys, int(np.prod(data.image_shape))):
            rows = slice(start, start + len(batch[keys[0]]))
            for key, expected in columns.items():
                if expected is not None and not np.array_equal(batch[key], expected[rows]):
                    raise InputError(f"{data.name} came back changed, near example {start} of {split}; nothing is kept.")
            start = rows.stop
        if start != len(examples):
            raise InputError(f"{data.name} came back with {start} of {len(examples)} examples of {split}; nothing is kept.")
