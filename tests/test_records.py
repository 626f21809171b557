import json

import numpy as np
import pytest

from echo_tf import data, records
from echo_tf.errors import InputError


def test_images_come_back_from_their_text_up_to_eight_bits():
    x = np.random.default_rng(0).random((3, 28, 28, 1))
    packed = json.loads(json.dumps(records.pack_images(x)))
    np.testing.assert_allclose(records.unpack_images(packed), x, atol=0.5 / 255 + 1e-9)


def test_surroundings_name_versions_commit_and_hardware():
    found = records.describe_surroundings()
    assert found["versions"]["keras"] and found["versions"]["echo_tf"]
    assert found["hardware"]["cores"] >= 1 and found["backend"] == "tensorflow"
    json.dumps(found)


def test_data_are_described_with_their_hashes():
    found = records.describe_data(data.load("digits"))
    assert found["sizes"] == {"train": 1500, "test": 297} and len(found["sha256"]["test"]) == 64


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}', "[1]", '{"format": 1}'])
def test_what_is_no_record_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="not a record"):
        records.read(tmp_path / "a.json")
