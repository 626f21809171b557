"""One odd record stops no command: each field of a good record of each kind is removed, made null or made of another type, and
the record is then passed over with a line, or everything that reads it works."""

import copy
import json
import os
import shutil
from pathlib import Path

import pytest

from echo_tf import figures, tables
from echo_tf.errors import InputError
from echo_tf.figures import style
from echo_tf.runs import kind_of, records
from echo_tf.runs.studies import read_study

ROOT = Path(__file__).resolve().parent.parent
UNREAD = ("versions", "hardware", "git", "backend", "written", "fidelity", "config", "sizes", "source", "class_shares")
REMOVED = object()


def smallest(kind):
    found = [path for path in (ROOT / "results/runs").rglob("*.json") if f'"kind": "{kind}"' in path.read_text()[:100]]
    return min(found, key=lambda path: path.stat().st_size)


def good(kind):
    """(a record of the kind, its file, whose arrays stand beside it)."""
    if kind not in ("autoencoder", "likelihood", "echo_analysis"):
        path = smallest(kind)
        return json.loads(path.read_text()), path
    path = next((ROOT / "results/runs/echo/table3").rglob("*_quick.json"))  # of before analyses were runs
    record = json.loads(path.read_text())
    if kind == "autoencoder":
        return record, path
    config = {"kind": kind, "study": "echo/table3", "preset": "quick", "model": {"kind": "autoencoder", **record["config"]}}
    measured = {"kind": kind, "status": "finished", "config": config, "format": 1, "seconds": 3.0}
    if kind == "echo_analysis":
        return {**measured, "analysis": {k: v for k, v in record["analysis"].items() if k != "file"}}, path
    config["model"] |= {"method": "vae"}
    mean = {"mean": 88.5, "standard_error": 0.2}
    return {**measured, "log_likelihood": {"neg_log_likelihood_nats": mean, "samples_per_image": 200}}, path


def places(value, at=()):
    """The path of each field, of lists that of the first element."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, one in inner:
        if key not in UNREAD and not (key == "history" and len(value["history"]) > 1):
            yield from places(one, (*at, key))


def spoilt(record, at, value):
    record = copy.deepcopy(record)
    *way, last = at
    inner = record
    for key in way:
        inner = inner[key]
    if value is REMOVED:
        del inner[last]
    else:
        inner[last] = value
    return record


@pytest.fixture
def look(tmp_path, monkeypatch):
    """A function that says whether a record can be read, and then reads it as the commands do."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(style, "drawn", lambda draw, *arguments, **keywords: None)
    monkeypatch.setattr(style, "save", lambda figure, stem, tables: stem)
    path = tmp_path / "runs/odd.json"
    path.parent.mkdir()

    def look(record, arrays, by_reports=True):
        for name in arrays:
            if not (there := path.with_name(f"odd.{name.name.split('.')[-2]}.npz")).exists():
                shutil.copy(name, there)
        path.write_text(json.dumps(record))
        said = []
        every = records.read_all(tmp_path, say=said.append)
        if not every:
            assert len(said) == 1 and "\n" not in said[0]
            return False
        [result] = every
        kind_of.line(result.record)
        kind_of.seconds_left(result.settings, 0, every)
        if result.finished and by_reports:
            study = read_study(ROOT / "configs" / f"{result.settings.study}.yaml", ROOT / "configs")
            tables.write(tmp_path, study.study, every, study, ROOT / "results/published")
            figures.write(tmp_path, study.study, every, study)
        return True

    return look


@pytest.mark.parametrize("kind", [kind for kind in kind_of.kinds() if kind != "dice"])
def test_whatever_field_is_odd_the_record_is_passed_over_with_a_line_or_all_that_reads_it_works(kind, look):
    record, path = good(kind)
    arrays = list(path.parent.glob(f"{path.stem}.*.npz"))
    assert look(record, arrays)
    passed_over = 0
    for at in places(record):
        for value in (REMOVED, None, "text"):
            try:
                passed_over += not look(spoilt(record, at, value), arrays, value != "text")
            except Exception as error:
                raise AssertionError(f"{kind}: {'.'.join(map(str, at))} {value!r}: {error}") from error
    assert passed_over > 5


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e999", "9" * 400, "null", '"3"', "-1", "true"])
def test_seconds_that_are_no_number_are_passed_over(number, tmp_path):
    record, _ = good("likelihood")
    (tmp_path / "odd.json").write_text(json.dumps({**record, "seconds": "HERE"}).replace('"HERE"', number))
    with pytest.raises(InputError, match="odd.json is not a record of a run"):
        records.read(tmp_path / "odd.json")


def test_a_likelihood_that_was_finished_with_null_is_passed_over(tmp_path):
    record, _ = good("likelihood")
    record["log_likelihood"]["neg_log_likelihood_nats"]["mean"] = None
    (tmp_path / "odd.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="in place of a number"):
        records.read(tmp_path / "odd.json")


@pytest.mark.parametrize("value, reason", [(float("nan"), "nan"), (float("inf"), "inf"), (88.5, None)])
def test_a_run_whose_numbers_are_not_finite_has_not_finished(value, reason):
    record, _ = good("likelihood")
    record["log_likelihood"]["neg_log_likelihood_nats"] = {"mean": value, "standard_error": float("nan")}  # of one image
    said = records.trouble_with(record)
    assert said == (reason and f"diverged: log_likelihood.neg_log_likelihood_nats.mean is {reason}")
