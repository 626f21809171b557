"""The datasets of the catalogue, found, loaded, listed and verified."""

import gzip
import hashlib
import json
import struct
from types import SimpleNamespace

import numpy as np
import pytest

from echo_tf import data
from echo_tf.data import canonical, commands, preparing
from echo_tf.errors import InputError


def run(capsys, action, directory, **options):
    """(exit status, output) of `run.py data ACTION`."""
    status = commands.main(SimpleNamespace(action=action, data_dir=directory, **options))
    return status, capsys.readouterr().out


def pretend_prepared(directory, name, version="1.0.0", features=None, description="", **splits):
    """The JSON files of a prepared TFDS dataset, without its data."""
    folder = directory / name / version
    folder.mkdir(parents=True)
    infos = [{"name": split, "shardLengths": [str(n) for n in lengths]} for split, lengths in splits.items()]
    (folder / "dataset_info.json").write_text(json.dumps({"name": name, "description": description, "splits": infos}))
    if features:
        (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    return folder


def test_digits_are_the_same_bits_every_time_with_nothing_downloaded():
    digits = data.load("digits", "/nowhere")
    assert {split: x.shape for split, x in digits.splits.items()} == {"train": (1500, 28, 28, 1), "test": (297, 28, 28, 1)}
    assert digits.sha256["train"].startswith("de3f2d769120c47e") and digits.sha256["test"].startswith("6b2ea240ed8c0072")
    assert set(np.unique(digits.floats("train"))) == {0.0, 1.0}
    assert set(digits.labels["test"]) == set(range(10))


@pytest.mark.parametrize(
    ("name", "sizes", "mean", "sha256"),
    [
        ("binary_mnist", (50_000, 10_000, 10_000), 0.130562, "43490d4d6ac90027"),
        ("omniglot", (24_345, None, 8_070), 0.080671, "864d4923a1e6d0ae"),
        ("fashion_mnist", (60_000, None, 10_000), 0.286041, "666477a76721f0b1"),
        ("mnist", (60_000, None, 10_000), 0.130660, "741c988805d008ac"),
        ("cifar10", (50_000, None, 9_980), (0.49139968 + 0.48215841 + 0.44653091) / 3, "47af8b02cfcfb6cd"),
        ("omniglot_105", (19_280, None, 13_180), None, "7decabd37de423a1"),
    ],
)
def test_real_data_have_their_published_sizes_means_and_hashes(real_data, name, sizes, mean, sha256):
    loaded = data.load(name, real_data)
    assert tuple(len(loaded.splits[s]) if s in loaded.splits else None for s in ("train", "valid", "test")) == sizes
    assert loaded.image_shape == data.CATALOG[name].shape and loaded.floats("test", slice(9)).dtype == np.float32
    assert loaded.sha256["train"].startswith(sha256)
    if mean:
        total = loaded.splits["train"].sum(dtype=np.int64) / loaded.maximum / loaded.splits["train"].size
        assert total == pytest.approx(mean, abs=1e-6)


def test_omniglot_s_full_images_have_their_share_of_ink(real_data):
    loaded = data.load("omniglot_105", real_data)
    ink = sum(int(np.bitwise_count(x.bits).sum(dtype=np.int64)) for x in loaded.splits.values())
    assert ink / (32_460 * 105 * 105) == pytest.approx(0.080516, abs=1e-6)
    assert len(np.unique(loaded.labels["train"])) == 964 and len(np.unique(loaded.labels["test"])) == 659


def test_dsprites_are_the_grid_of_their_factors(real_data):
    with np.load(real_data / "dsprites.npz") as file:
        bits = file["imgs_packed"]
    sprites = data.load("dsprites", real_data)
    images = sprites.splits["train"]
    assert sprites.factor_names == ("shape", "scale", "orientation", "x", "y")
    assert sprites.factor_sizes == (3, 6, 40, 32, 32) and images.shape == (737_280, 64, 64, 1) and images.dtype == np.uint8
    assert images.nbytes == 737_280 * 512
    factors = np.stack([np.random.default_rng(0).integers(0, size, 50) for size in sprites.factor_sizes], axis=1)
    shape, scale, orientation, x, y = factors.T
    rows = (((shape * 6 + scale) * 40 + orientation) * 32 + x) * 32 + y
    expected = np.unpackbits(bits[rows], axis=1).reshape(-1, 64, 64, 1).astype(np.float32)
    np.testing.assert_array_equal(sprites.images(factors), expected)
    np.testing.assert_array_equal(sprites.factors["train"][rows], factors)


def test_the_hash_of_packed_images_is_that_of_the_pixels():
    x = (np.random.default_rng(0).random((3000, 9, 7, 1)) < 0.3).astype(np.uint8)
    packed = data.PackedImages.pack([x[:1000], x[1000:]])
    made = data.Dataset("mine", "bits", "here", {"train": packed}, 1)
    assert made.sha256["train"] == hashlib.sha256(x.tobytes()).hexdigest()


def test_variants_that_are_not_the_original_say_so(real_data):
    assert "not Burda's" in data.load("omniglot", real_data).variant
    assert "another order" in data.load("fashion_mnist", real_data).variant


def test_a_flipped_byte_is_noticed(real_data, tmp_path):
    content = bytearray((real_data / "binarized_mnist.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "binarized_mnist.npz").write_bytes(content)
    with pytest.raises(InputError, match="damaged or another file"):
        data.load("binary_mnist", tmp_path)


def test_missing_data_name_both_places_and_the_command(tmp_path):
    with pytest.raises(InputError, match=r"binary_mnist/ nor binarized_mnist.npz; get it with: run.py data fetch binary_mnist"):
        data.load("binary_mnist", tmp_path)
    with pytest.raises(InputError, match=r"did you mean 'mnist'\?\); known are binary_mnist"):
        data.load("minst", tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html></html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs"),
    ],
)
def test_what_is_no_data_under_the_canonical_name_is_called_what_it_is(tmp_path, content, words):
    (tmp_path / "mnist.npz").write_bytes(content)
    with pytest.raises(InputError, match=words):
        data.load("mnist", tmp_path)


def test_a_dataset_of_several_files_needs_them_all(tmp_path):
    for name in list(data.CATALOG["cifar10"].files)[1:]:
        (tmp_path / name).write_bytes(b"there")
    assert not canonical.are_there("cifar10", tmp_path)
    with pytest.raises(InputError, match=r"nor cifar10_train0.npz, .*data fetch cifar10"):
        data.load("cifar10", tmp_path)


def test_the_list_names_every_dataset_and_how_to_get_what_is_missing(capsys, tmp_path):
    status, listed = run(capsys, "list", tmp_path)
    assert status == 0 and all(name in listed for name in data.CATALOG)
    assert "missing; run.py data fetch mnist" in listed and "with scikit-learn" in listed


def test_the_list_shows_datasets_of_one_s_own_with_sizes_shape_and_type(capsys, tmp_path):
    image = {"image": {"image": {"dtype": "uint8", "shape": {"dimensions": ["28", "20", "3"]}}}}
    pretend_prepared(tmp_path, "mine", features=image, train=(400, 300), test=(12,))
    pretend_prepared(tmp_path, "kmnist", "3.0.1", train=(60_000,))
    pretend_prepared(tmp_path, "halfway", "incomplete.X1_1.0.0", train=(5,))
    pretend_prepared(tmp_path / ".mine.incomplete-abc", "mine", train=(5,))
    pretend_prepared(tmp_path, "broken", train=(5,))
    (tmp_path / "broken/1.0.0/dataset_info.json").write_text('{"splits": [{"na')
    status, listed = run(capsys, "list", tmp_path)
    assert status == 0 and "halfway" not in listed and ".mine" not in listed
    line = {line.split()[0]: line for line in listed.splitlines()}
    assert "700 train, 12 test, 28x20x3, uint8" in line["mine"] and "60,000 train" in line["kmnist"]
    assert "is damaged" in line["broken"] and "remove that folder" in line["broken"]


def test_a_dataset_of_tfds_with_other_data_under_a_name_of_the_catalogue_is_passed_over(tmp_path):
    pretend_prepared(tmp_path, "omniglot", "3.0.0", description="Omniglot in 105x105", train=(19_280,))
    with pytest.raises(InputError, match="omniglot_28x28.npz"):
        data.load("omniglot", tmp_path)


def test_several_configurations_under_one_name_are_refused(tmp_path):
    for one in ("letters", "digits"):
        pretend_prepared(tmp_path / "emnist", one, "3.1.0", train=(5,))
    with pytest.raises(InputError, match=r"several configurations \(digits, letters\)"):
        data.load("emnist", tmp_path)


def test_verify_says_of_each_what_it_was_checked_by(capsys, real_data):
    status, said = run(capsys, "verify", real_data, names=["binary_mnist", "digits"])
    binary, digits = said.splitlines()
    assert status == 0 and " ok: 50,000 train, 10,000 valid" in binary and "the known SHA-256 of its file" in binary
    assert " ok: 1,500 train" in digits and "no known hash" in digits


def test_verify_of_what_is_not_right_has_status_2(capsys, tmp_path):
    pretend_prepared(tmp_path, "broken", train=(5,))
    status, said = run(capsys, "verify", tmp_path, names=[])
    assert status == 2 and said.count("\n") == len(data.CATALOG) + 1 and "broken" in said.splitlines()[-1]


def test_fetch_knows_what_tfds_has_and_says_how_to_get_the_rest(tmp_path):
    assert set(data.catalog.FETCHABLE) == {"binary_mnist", "fashion_mnist", "mnist", "cifar10", "dsprites"}
    with pytest.raises(InputError, match="data import omniglot chardata.mat"):
        preparing.fetch("omniglot", tmp_path)
    with pytest.raises(InputError, match="did you mean 'cifar10'"):
        preparing.fetch("cifar_10", tmp_path)


def idx(path, array, code, compress=False):
    content = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if compress else content)
    return path


def test_the_files_of_mnist_come_in_as_mnist(tmp_path, monkeypatch):
    monkeypatch.setitem(data.CATALOG, "mnist", data.CATALOG["mnist"]._replace(sizes={"train": 7, "test": 3}))
    rng = np.random.default_rng(0)
    x = {"train": rng.integers(0, 256, (7, 28, 28), np.uint8), "test": rng.integers(0, 256, (3, 28, 28), np.uint8)}
    paths = [
        idx(tmp_path / "train-images-idx3-ubyte.gz", x["train"], 8, True),
        idx(tmp_path / "train-labels-idx1-ubyte", np.arange(7, dtype=np.uint8), 8),
        idx(tmp_path / "t10k-images.idx3-ubyte", x["test"], 8),
        idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.arange(3, dtype=np.uint8), 8, True),
    ]
    loaded, _ = preparing.read("mnist", paths)
    for split in x:
        np.testing.assert_array_equal(loaded.splits[split][..., 0], x[split])
        np.testing.assert_array_equal(loaded.labels[split], np.arange(len(x[split])))
