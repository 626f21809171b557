"""Prepared TFDS datasets on disk: where they are, and what their JSON files say, without TensorFlow."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from echo_tf.data.catalog import CATALOG
from echo_tf.data.dataset import sizes_in_words, values_in_words
from echo_tf.errors import InputError
from echo_tf.files import sha256

INFO = "dataset_info.json"
NOTES = "metadata.json"  # TFDS keeps there what a dataset wants to say beside its features
OURS = "echo_tf"  # the key of ours in it
SEAL = "sha256_of_these_notes"
MARK = "(written by echo_tf; its metadata.json belongs to it)"  # in the description: the notes must be there


class Description(NamedTuple):
    """What the files of a prepared dataset say.

    folder: .../NAME/VERSION. text: its description. sizes: examples by split of TFDS. notes: ours, None of other datasets.
    """

    folder: Path
    text: str
    sizes: dict
    notes: dict | None

    @property
    def is_own(self) -> bool:
        """Whether `run.py data import` wrote it, today or before it left notes."""
        return self.notes is not None or self.text.startswith("imported from")

    @property
    def summary(self) -> str:
        """Its sizes, and the shape and type of its examples where they are told."""
        if self.notes is not None:
            form = values_in_words(self.notes["shape"], self.notes["maximum"], self.notes["limits"])
            return ", ".join([*sizes_in_words(self.notes["sizes"]), form])
        return ", ".join([*sizes_in_words(self.sizes), *_form(self.folder)])


def find(name: str, directory: Path) -> Path | None:
    """The folder of the newest prepared dataset of this name, ours or TFDS's own, or None.

    Raises:
        InputError: if it is there in several configurations.
    """
    known = CATALOG.get(name)
    for folder in dict.fromkeys(filter(None, (name, known and known.tfds))):
        found = _versions(directory / folder)
        if known is not None and not known.tfds:  # TFDS's dataset of this name has other data
            found = [version for version in found if describe(version).is_own]
        if len({version.parent for version in found}) > 1:
            several = ", ".join(sorted({version.parent.name for version in found}))
            raise InputError(f"{directory / folder} holds several configurations ({several}): keep one, move the others away.")
        if found:
            return max(found, key=lambda version: [int(part) for part in version.name.split(".")])
    return None


def own_names(directory: Path) -> list[str]:
    """Names of the prepared datasets in the data directory that are not of the catalogue, nor TFDS's originals of it."""
    known = {*CATALOG, *(one.tfds for one in CATALOG.values())}
    if not directory.is_dir():
        return []
    folders = (folder for folder in directory.iterdir() if re.fullmatch(r"[a-z][a-z0-9_]*", folder.name))
    return sorted(folder.name for folder in folders if folder.name not in known and folder.is_dir() and _versions(folder))


def describe(folder: Path) -> Description:
    """What the files of a prepared dataset say. Raises InputError if they are damaged or missing."""
    info = _json(folder / INFO, folder)
    try:
        text = str(info.get("description") or "")
        sizes = {split["name"]: sum(map(int, split.get("shardLengths", ()))) for split in info["splits"]}
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise damaged(folder, error) from error
    if not (folder / NOTES).exists():
        if MARK in text:
            raise damaged(folder, f"{NOTES} is missing")
        return Description(folder, text, sizes, None)
    try:
        notes = _json(folder / NOTES, folder).get(OURS)
        whole = MARK not in text if notes is None else notes == sealed(notes)
    except (TypeError, AttributeError) as error:
        raise damaged(folder, error) from error
    if not whole:
        raise damaged(folder, f"{NOTES} is not as it was written")
    return Description(folder, text, sizes, notes)


def sealed(notes: dict) -> dict:
    """Our notes with a hash of themselves, so that damage to them is noticed."""
    rest = {key: value for key, value in notes.items() if key != SEAL}
    return {**rest, SEAL: sha256(json.dumps(rest, sort_keys=True).encode())}


def damaged(folder: Path, error) -> InputError:
    """The error to be raised for a prepared dataset that cannot be read."""
    said = " ".join(str(error).split())[:200]
    kind = f"{type(error).__name__}: " if isinstance(error, Exception) else ""
    return InputError(f"{folder} is damaged ({kind}{said}): remove that folder, and import or fetch the dataset anew.")


def _versions(folder):
    infos = [*folder.glob(f"*/{INFO}"), *folder.glob(f"*/*/{INFO}")]
    return [info.parent for info in infos if re.fullmatch(r"[0-9]+(\.[0-9]+)*", info.parent.name)]  # none that is incomplete


def _json(path, folder):
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(folder, error) from error
    if not isinstance(found, dict):
        raise damaged(folder, f"{path.name} is no JSON object")
    return found


def _form(folder):
    """["28x28x1 uint8"] of the images or vectors in features.json, [] where it does not tell."""
    try:
        features = json.loads((folder / "features.json").read_text(encoding="utf-8"))["featuresDict"]["features"]
        found = features.get("image") or features["vector"]
        tensor = found.get("image") or found["tensor"]
        sides = tensor["shape"]["dimensions"]
        return [f"{'x'.join(sides) if len(sides) > 1 else f'{sides[0]} values'}, {tensor.get('dtype', 'uint8')}"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []
