"""From a prepared TFDS dataset to a `Dataset`, ours or one that TFDS made itself."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from echo_tf.data import prepared
from echo_tf.data.arrays import PIECE, PackedImages, pack
from echo_tf.data.canonical import grid
from echo_tf.data.catalog import CATALOG, Known
from echo_tf.data.contents import said_of
from echo_tf.data.dataset import Dataset
from echo_tf.data.labels import as_factors
from echo_tf.data.layout import as_examples
from echo_tf.data.values import as_values
from echo_tf.errors import InputError

SPLIT_OF = {"train": "train", "validation": "valid", "valid": "valid", "test": "test"}
PACKED = "packed"  # the feature of images that are held as bits; an example of TFDS is then a block of them, in all features


def import_tfds() -> ModuleType:
    """TensorFlow Datasets, which takes seconds, without its warnings about functions that it uses itself."""
    import tensorflow_datasets

    logging.getLogger("absl").addFilter(_is_no_deprecation)
    return tensorflow_datasets


def _is_no_deprecation(record):
    return "is deprecated" not in record.getMessage()


def load(name: str, folder: Path) -> Dataset:
    """The prepared dataset in `folder`, with all checks.

    Raises:
        InputError: if it is damaged, of images that no `Dataset` holds, or not what the catalogue says of this name.
    """
    described = prepared.describe(folder)
    try:
        loaded = _load_ours(name, described) if described.notes is not None else _load_other(name, described)
    except (InputError, MemoryError, ImportError):
        raise
    except Exception as error:  # TFDS and TensorFlow raise what they like on damaged files
        raise prepared.damaged(folder, error) from error
    if name in CATALOG:
        check_known(CATALOG[name], loaded)
    return loaded


def check_known(known: Known, data: Dataset) -> None:
    """Raises InputError unless a dataset has the sizes, shape and range that the catalogue says."""
    sizes = {split: len(x) for split, x in data.splits.items()}
    if sizes != known.sizes:
        raise InputError(f"{known.title} has the splits {known.sizes}, {data.source} has {sizes}.")
    shape = "x".join(map(str, known.shape))
    if data.image_shape != known.shape or data.limits != (0.0, 1.0) or data.maximum not in (known.maximum, None):
        raise InputError(
            f"{known.title} has {shape} images with values up to {known.maximum}, {data.source} has {data.summary}."
        )


def batches(folder: Path, split: str, keys: list[str], size: int) -> Iterator[dict]:
    """The features `keys` of a split in order, a few thousand examples at once; the first key's are of `size` values each."""
    tfds = import_tfds()
    builder = tfds.builder_from_directory(folder)
    wanted = tfds.decode.PartialDecoding({key: True for key in keys})
    number = None if PACKED in keys else max(1, min(4096, PIECE // size))
    config = tfds.ReadConfig(try_autocache=False)
    yield from tfds.as_numpy(builder.as_dataset(split=split, batch_size=number, decoders=wanted, read_config=config))


def _load_ours(name, described):
    notes, folder = described.notes, described.folder
    shape, sizes = tuple(notes["shape"]), notes["sizes"]
    key, dtype = notes["features"][0], np.float32 if notes["maximum"] is None else np.uint8
    columns = {split: _columns(folder, split, n, notes["features"], shape, dtype) for split, n in sizes.items()}
    splits = {split: PackedImages(found[key], shape) if key == PACKED else found[key] for split, found in columns.items()}
    factors = {split: found["factors"] for split, found in columns.items() if "factors" in found}
    loaded = Dataset(
        name,
        described.text.split(f" {prepared.MARK}")[0],
        f"tfds {folder.parent.name}/{folder.name}",
        splits,
        notes["maximum"],
        {split: columns[split]["label"] for split in notes["labelled"]},
        tuple(notes["limits"]),
        tuple(notes["class_names"]),
        {split: array.astype(np.min_scalar_type(max(notes["factor_sizes"]) - 1)) for split, array in factors.items()},
        tuple(notes["factor_names"]),
        tuple(notes["factor_sizes"]),
        checked="its SHA-256 when it was imported",
    )
    if loaded.sha256 != notes["sha256"]:
        raise prepared.damaged(folder, "its values are not those that were imported")
    return loaded


def _load_other(name, described):
    """A dataset that TFDS made, or that was imported before imports left notes."""
    tfds = import_tfds()
    folder, known = described.folder, CATALOG.get(name)
    info = tfds.builder_from_directory(folder).info
    key = next((key for key in ("image", "vector") if key in info.features), None)
    if key is None or None in info.features[key].shape:
        raise InputError(f"{folder} has no images of one size: its features are {', '.join(info.features)}.")
    factors = [one for one in info.features if one.startswith("label_")]
    labels = ["label"] if "label" in info.features and _is_class(info.features["label"]) else []
    shape, dtype = info.features[key].shape, info.features[key].np_dtype
    columns = {}
    for split in sorted(info.splits, key=[*SPLIT_OF, *info.splits].index):
        number = info.splits[split].num_examples
        if split in SPLIT_OF and number:
            keys = [key, *(labels or factors)]
            columns[SPLIT_OF[split]] = _columns(folder, split, number, keys, shape, dtype, known is not None and known.packed)
    if "train" not in columns:
        raise InputError(f"{folder} has no split train, but {', '.join(info.splits)}.")
    full_name = f"tfds {info.full_name}"
    variant = described.text.splitlines()[0] if described.is_own else "as in TensorFlow Datasets"
    if known is not None and known.packed:
        return _packed(name, known, columns, key, variant, full_name)
    with said_of(f"{folder} must be imported anew" if described.is_own else folder):
        splits, _ = as_examples({split: found.pop(key) for split, found in columns.items()})
        splits, maximum, limits = as_values(splits, are_bytes=not described.is_own)
    return Dataset(
        name,
        variant,
        full_name,
        splits,
        maximum,
        {split: found["label"] for split, found in columns.items() if labels},
        limits,
        _class_names(info.features["label"]) if labels else (),
        **_factors(columns, [] if labels else factors),
    )


def _columns(folder, split, number, keys, shape, dtype, packed=False):
    """Key -> array (number, ...) of a split; the first is of examples of `shape` and `dtype`, or of bits, or to be packed."""
    size = math.prod(shape)
    as_bits = packed or keys[0] == PACKED
    arrays = {keys[0]: np.empty((number, -(-size // 8)), np.uint8) if as_bits else np.empty((number, *shape), dtype)}
    start = 0
    for batch in batches(folder, split, keys, size):
        count = len(batch[keys[0]])
        if start + count > number:
            raise ValueError(f"{split} has more than {number} examples")
        if packed:
            batch[keys[0]] = pack(batch[keys[0]])
        for key, found in batch.items():
            arrays.setdefault(key, np.empty((number, *found.shape[1:]), found.dtype))[start : start + count] = found
        start += count
    if start != number:
        raise ValueError(f"{split} has {start} examples in place of {number}")
    return arrays


def _packed(name, known, columns, key, variant, source):
    """A dataset of the catalogue that is held as bits; one of factors in the order of its grid, whatever TFDS's is."""
    bits = {split: found[key] for split, found in columns.items()}
    if known.factors:
        of = {one.removeprefix("label_").removesuffix("_position"): one for one in columns["train"]}
        places = np.ravel_multi_index([columns["train"][of[factor]] for factor in known.factors], tuple(known.factors.values()))
        if (np.sort(places) != np.arange(len(places))).any():
            raise InputError(f"{source} does not have every combination of its factors once.")
        bits = {"train": bits["train"][np.argsort(places)]}
    return Dataset(
        name,
        variant,
        source,
        {split: PackedImages(rows, known.shape) for split, rows in bits.items()},
        known.maximum,
        {split: found["label"] for split, found in columns.items() if "label" in found},
        factors={"train": grid(known.factors.values())} if known.factors else {},
        factor_names=tuple(known.factors),
        factor_sizes=tuple(known.factors.values()),
    )


def _factors(columns, keys):
    """The factors of variation of a dataset whose features label_* they are, if it has several."""
    if len(keys) < 2:
        return {}
    factors = {split: np.stack([found[key] for key in keys], axis=1) for split, found in columns.items()}
    factors, sizes = as_factors(factors)
    return {"factors": factors, "factor_names": tuple(key.removeprefix("label_") for key in keys), "factor_sizes": sizes}


def _is_class(feature):
    return feature.shape == () and np.dtype(feature.np_dtype).kind in "ui"


def _class_names(feature):
    names = tuple(getattr(feature, "names", None) or ())
    return () if names == tuple(map(str, range(len(names)))) else names
