"""The record of a run: one small JSON file that says what was measured, and everything it depended on."""

import base64
import io
import json
import math
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from echo_tf.errors import InputError
from echo_tf.files import write_atomically
from echo_tf.runs import kind_of
from echo_tf.runs.settings import Settings, from_recorded

FORMAT = 1
STATUSES = ("finished", "diverged")


class Result(NamedTuple):
    """A record that this version can read.

    path: of its file.
    record: its content.
    settings: its `Settings`, those of older versions in today's terms.
    """

    path: Path
    record: dict
    settings: Settings

    @property
    def finished(self) -> bool:
        return self.record["status"] == "finished"

    def rows(self) -> list[dict]:
        """The numbers that tables and figures read; see the kind's `rows`."""
        return kind_of.kind_of(self.settings.kind).rows(self.record)

    def arrays(self, name: str) -> dict:
        """The arrays of a file attached to the record. Raises InputError if it is missing or damaged."""
        return read_arrays(self.path.with_name(f"{self.path.stem}.{name}.npz"))


def path_of(settings: Settings, results: str | Path) -> Path:
    """Where the record of a run stands."""
    return Path(results, "runs", settings.run_path).with_name(f"{settings.run_name}.json")


def write(path: str | Path, record: Mapping) -> None:
    """Writes a record, whole or not at all. Numbers that are not finite become null, which is what JSON has."""
    write_atomically(path, json.dumps(_plain({"format": FORMAT, **record}), indent=1, allow_nan=False) + "\n")


def read(path: str | Path) -> Result:
    """Reads a record.

    Raises:
        InputError: if the file is not one, is of a kind or of settings that this version does not know, or lacks fields.
    """
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(f"its format is {record['format']!r}, known is {FORMAT}")
        if record["status"] not in STATUSES:
            raise ValueError(f"its status is {record['status']!r}")
        record.setdefault("kind", kind_of.DEFAULT)
        settings = from_recorded({**record["config"], "kind": record["kind"]})
        result = Result(path, record, settings)
        if result.finished:
            result.rows()  # so that what lacks fields is found here
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        said = f"lacks {error}" if isinstance(error, KeyError) else f"is not a record of a run ({error})"
        mend = "is it of a newer version, or of a kind that is not here? Else remove it and run again."
        raise InputError(f"{path} {' '.join(said.split())}: {mend}") from error
    return result


def trouble_with(record: Mapping) -> str | None:
    """Why the record of a finished run could not be read again, or None: a number that is not finite, and so null, may be one
    that its kind needs."""
    try:
        kind_of.kind_of(record["kind"]).rows(json.loads(json.dumps(_plain(dict(record)))))
    except (TypeError, ValueError) as error:
        return f"its numbers make no row, as where one is not finite ({error})"
    return None


def read_all(results: str | Path, study: str | None = None, say=None) -> list[Result]:
    """All records below results/runs, of one study or of all, in the order of their paths.

    What is no record of this version is passed over, with a line on stderr.
    """
    found = []
    for path in sorted(Path(results, "runs", study or "").rglob("*.json")):
        try:
            result = read(path)
        except InputError as error:
            (say or _say)(f"passed over: {error}")
            continue
        if study is None or result.settings.study == study:
            found.append(result)
    return found


def _say(line):
    print(line, file=sys.stderr)


def study_names(found: Iterable[Result]) -> list[str]:
    """The studies of records."""
    return sorted({result.settings.study for result in found})


def by_law(found: Iterable[Result]) -> list[list[Result]]:
    """The finished runs in lists, one a configuration; the runs of a list differ in their seeds.

    Of the repetitions of a run under names of their own one counts, the one without such a name if there is one.
    """
    groups = {}
    for result in found:
        if result.finished:
            data = (result.record.get("data") or {}).get("variant")
            groups.setdefault((result.settings.law(), data), []).append(result)
    return [_one_a_seed(group) for group in groups.values()]


def _one_a_seed(group):
    def seeds(result):
        return result.settings.subject.seed, result.settings.seed

    found = {}
    for result in sorted(group, key=lambda result: result.settings.name or ""):
        found.setdefault(seeds(result), result)
    return sorted(found.values(), key=seeds)


def set_apart(settings: Settings, others: Iterable[Settings], known: Iterable[str] = ()) -> list[str]:
    """The settings, of a run and of what it measures, in which one differs from others, as words "key value"; not those in
    `known`."""
    mine, theirs = _flat(settings), [_flat(other) for other in others]
    left_out = {"seed", "name", "deterministic", "variant", *known}  # a variant has a place of its own
    return [f"{k} {v}" for k, v in mine.items() if k not in left_out and any(other.get(k) != v for other in theirs)]


def _flat(settings):
    """Recorded settings with those of the model beside them."""
    own = settings.recorded()
    return {**_flat(settings.model), **{k: v for k, v in own.items() if k != "model"}} if "model" in own else own


def told_apart(every: Sequence[Settings], shown: Callable[[Settings], Any], known: Iterable[str] = ()) -> list[str]:
    """For each of several settings, in words, what tells it from those that look the same, "" where nothing need: it stands
    beside a row or a curve, so that no two look the same.

    Args:
        every: the settings.
        shown: settings -> what is seen of them anyhow.
        known: settings that need no word here, as they are said in another place.
    """
    seen = [shown(one) for one in every]
    return [", ".join(set_apart(one, [o for o, s in zip(every, seen) if s == mine], known)) for one, mine in zip(every, seen)]


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Stores arrays, whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def read_arrays(path: Path) -> dict:
    """Stored arrays by name. Raises InputError if the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # a damaged archive fails in many ways (zipfile, zlib, OSError, ValueError, KeyError)
        said = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read ({said}): remove it with its record and run again.") from error


def pack_images(images: np.ndarray) -> dict:
    """Images in [0, 1] as text: 8-bit, zlib, base64."""
    pixels = np.round(255 * np.asarray(images)).astype(np.uint8)
    return {"shape": list(pixels.shape), "zlib_base64": base64.b64encode(zlib.compress(pixels.tobytes(), 9)).decode()}


def unpack_images(packed: Mapping) -> np.ndarray:
    """The inverse of `pack_images`, up to the rounding to 8 bits. Raises InputError for what is damaged."""
    try:
        pixels = np.frombuffer(zlib.decompress(base64.b64decode(packed["zlib_base64"])), np.uint8)
        return pixels.reshape(packed["shape"]) / 255.0
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise InputError(f"the images of a record are damaged ({error}): remove it and run again.") from error


def _plain(value):
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
