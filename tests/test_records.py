import json

import numpy as np
import pytest

from echo_tf import data
from echo_tf.errors import InputError
from echo_tf.runs import records, surroundings
from tests.small_runs import run


def test_images_come_back_from_their_text_up_to_eight_bits():
    x = np.random.default_rng(0).random((3, 28, 28, 1))
    packed = json.loads(json.dumps(records.pack_images(x)))
    np.testing.assert_allclose(records.unpack_images(packed), x, atol=0.5 / 255 + 1e-9)


def test_surroundings_name_versions_commit_and_hardware():
    found = surroundings.describe()
    assert found["versions"]["keras"] and found["versions"]["echo_tf"]
    assert found["hardware"]["cores"] >= 1 and found["backend"] == "tensorflow"
    json.dumps(found)


def test_data_are_described_with_their_hashes():
    found = surroundings.describe_data(data.load("digits"))
    assert found["sizes"] == {"train": 1500, "test": 297} and len(found["sha256"]["test"]) == 64


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}', "[1]", '{"format": 1}'])
def test_what_is_no_record_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="not a record|lacks"):
        records.read(tmp_path / "a.json")


def test_what_this_version_does_not_know_or_lacks_fields_is_passed_over_with_a_line(tmp_path, capsys):
    record, _ = run(tmp_path, method="vae")
    folder, good = tmp_path / "results/runs/tests", dict(record)
    spoilt = {"kind": {**good, "kind": "unheard_of"}, "method": {**good, "config": {**good["config"], "method": "new"}}}
    spoilt |= {name: {k: v for k, v in good.items() if k != name} for name in ("config", "test", "status", "parameters")}
    for name, content in spoilt.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "text.json").write_text("{")
    found = records.read_all(tmp_path / "results")
    assert [result.path.stem for result in found] == ["beta1_seed0_none"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(spoilt) + 1 and all(line.startswith("passed over: ") for line in lines)


def test_numbers_that_are_not_finite_are_null(tmp_path):
    records.write(tmp_path / "a.json", {"a": [float("nan"), 1.0, np.float32("inf")], "b": {"c": np.int64(3)}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"format": 1, "a": [None, 1.0, None], "b": {"c": 3}}
