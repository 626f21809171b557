"""The record of a run: one small JSON file that says what was measured, and everything it depended on."""

import base64
import io
import json
import math
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pydantic

from echo_tf.errors import InputError
from echo_tf.files import sha256, write_atomically
from echo_tf.runs import kind_of
from echo_tf.runs.settings import Settings, checked, from_recorded

FORMAT = 1
STATUSES = ("finished", "diverged")
ODD = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)  # what reading what is no record raises
Seconds = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]
Pictures = dict[str, dict[str, Any] | float]


class _Data(pydantic.BaseModel):
    """What a record says of its data, as far as it is read."""

    model_config = pydantic.ConfigDict(extra="allow", strict=True)
    name: str = ""
    variant: str = ""
    sha256: dict[str, str] = {}
    factors: dict[str, int] = {}
    train_images_used: int = 1


class _Envelope(pydantic.BaseModel):
    """The fields of a record that are read of every kind. Those of older versions lack some."""

    model_config = pydantic.ConfigDict(extra="allow", strict=True)
    format: Literal[FORMAT]
    status: Literal[STATUSES]
    kind: str = kind_of.DEFAULT
    config: dict[str, Any]
    reason: str = ""
    data: _Data = _Data()
    seconds: Seconds = 0.0
    train_seconds: Seconds = 0.0
    attached: list[str] | dict[str, str] = []
    models: dict[str, str] = {}
    same_training_as: str = ""
    examples: Pictures = {}
    reconstructed: Pictures = {}
    reconstructions: Pictures = {}

    @pydantic.field_validator("examples", "reconstructed", "reconstructions")
    @classmethod
    def _whole(cls, pictures):
        for packed in pictures.values():
            if isinstance(packed, Mapping):
                unpack_images(packed)
        return pictures


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
        """The arrays of a file attached to the record. Raises InputError if it is missing, damaged, or not the record's."""
        path, known = self.path.with_name(f"{self.path.stem}.{name}.npz"), self.record.get("attached")
        found = read_arrays(path)
        if isinstance(known, Mapping) and known.get(name) != sha256(path):  # older records name their files, and no more
            raise InputError(f"{path} is not the file that its record was written with: remove both and run again.")
        return found


def path_of(settings: Settings, results: str | Path) -> Path:
    """Where the record of a run stands."""
    return Path(results, "runs", settings.run_path).with_name(f"{settings.run_name}.json")


def write(path: str | Path, record: Mapping) -> None:
    """Writes a record, whole or not at all. Numbers that are not finite become null, which is what JSON has."""
    write_atomically(path, json.dumps(_plain({"format": FORMAT, **record}), indent=1, allow_nan=False) + "\n")


def read(path: str | Path) -> Result:
    """Reads a record.

    Raises:
        InputError: if the file is not one, is of a kind or of settings that this version does not know, or if a field that
            reports read is missing, null or no number where it should be one.
    """
    path = Path(path)
    try:
        record = _parsed(path.read_text(encoding="utf-8"))
        return Result(path, record, _understood(record))
    except (OSError, *ODD) as error:
        said = f"lacks {error}" if isinstance(error, KeyError) else f"is not a record of a run ({error})"
        mend = "is it of a newer version, or of a kind that is not here? Else remove it and run again."
        raise InputError(f"{path} {' '.join(said.split())}: {mend}") from error


def _parsed(text):
    """What JSON says, whose numbers are those that a float holds."""

    def refused(text):
        raise ValueError(f"{text[:20]} is no number that it can have")

    def real(text):
        value = float(text)
        return value if -math.inf < value < math.inf else refused(text)

    def whole(text):
        return int(text) if len(text) <= sys.float_info.max_10_exp else refused(text)

    return json.loads(text, parse_constant=refused, parse_float=real, parse_int=whole)


def _understood(record):
    """The settings of a record, once all of it is known to be as its kind writes it."""
    checked(_Envelope, record, "its field")
    record.setdefault("kind", kind_of.DEFAULT)
    settings = from_recorded({**record["config"], "kind": record["kind"]})
    if record["status"] == "finished":
        kind_of.kind_of(settings.kind).rows(record)  # so that what lacks fields is found here, and not by a table
    kind_of.line(record)
    return settings


def trouble_with(record: Mapping) -> str | None:
    """Why a run cannot be called finished: a number of its record is not finite, or the record could not be read again; None if
    there is no such reason. The standard error of a single image may be none."""
    for name, value in _numbers(record):
        if not math.isfinite(value) and "standard_error" not in name:
            return f"diverged: {name} is {value}"
    try:
        _understood({"format": FORMAT, **json.loads(json.dumps(_plain(record)))})
    except ODD as error:
        return f"its record could not be read again ({type(error).__name__}: {error})"
    return None


def _numbers(value, name=""):
    """(name, value) of each float of a record, "test.metrics.rate_nats.mean"."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, (float, np.floating)):
        yield name, float(value)


def number(value: Any) -> float:
    """A number that a record must have, as it is. Raises TypeError for anything else."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"it has {str(value)[:50]!r} in place of a number")
    return value


def number_or_none(value: Any) -> float | None:
    """A number that a record may have, as the standard error of more than one image."""
    return None if value is None else number(value)


def table(columns: Mapping, required: Iterable[str]) -> list[dict]:
    """The rows of a table that a record holds by columns, {name: [number]}; a standard error may be none.

    Raises:
        KeyError, TypeError, ValueError: if a column is missing, one holds other things, or they are of different lengths.
    """
    columns = {
        name: [(number_or_none if "standard_error" in name else number)(value) for value in values]
        for name, values in columns.items()
    }
    lengths = {len(columns[name]) for name in (*required, *columns)}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError("its columns are empty, or of different lengths")
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


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


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Stores arrays, whole or not at all. Returns the SHA-256 of the file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())
    return sha256(buffer.getvalue())


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
    except (KeyError, TypeError, ValueError, ArithmeticError, zlib.error) as error:
        raise InputError(f"the images of a record are damaged ({error}): remove it and run again.") from error


def _plain(value):
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
