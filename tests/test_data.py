import gzip
import struct

import numpy as np
import pytest
import scipy.io

from echo_tf import data
from echo_tf.data import preparing, readers
from echo_tf.data.batches import ShuffledBatches, epoch_order
from echo_tf.errors import InputError


def save_images(path, **arrays):
    rng = np.random.default_rng(0)
    full = {"x_train": rng.integers(0, 256, (12, 8, 8), np.uint8), "x_test": rng.integers(0, 256, (5, 8, 8), np.uint8)}
    full.update(arrays)
    np.savez_compressed(path, **{name: x for name, x in full.items() if x is not None})
    return full


def test_digits_are_the_same_bits_every_time_with_nothing_downloaded():
    digits = data.load("digits", "/nowhere")
    assert {split: x.shape for split, x in digits.splits.items()} == {"train": (1500, 28, 28, 1), "test": (297, 28, 28, 1)}
    assert digits.sha256["train"].startswith("de3f2d769120c47e") and digits.sha256["test"].startswith("6b2ea240ed8c0072")
    assert set(np.unique(digits.floats("train"))) == {0.0, 1.0}
    assert set(digits.labels["test"]) == set(range(10))


@pytest.mark.parametrize(
    ("name", "sizes", "mean"),
    [
        ("binary_mnist", (50_000, 10_000, 10_000), 0.130562),
        ("omniglot", (24_345, None, 8_070), 0.080671),
        ("fashion_mnist", (60_000, None, 10_000), 0.286041),
        ("mnist", (60_000, None, 10_000), 0.130660),
    ],
)
def test_real_data_have_their_published_sizes_and_means(real_data, name, sizes, mean):
    loaded = data.load(name, real_data)
    assert tuple(len(loaded.splits[s]) if s in loaded.splits else None for s in ("train", "valid", "test")) == sizes
    total = loaded.splits["train"].sum(dtype=np.int64) / loaded.maximum / loaded.splits["train"].size
    assert total == pytest.approx(mean, abs=1e-6)
    assert loaded.image_shape == (28, 28, 1) and loaded.floats("test", slice(9)).dtype == np.float32


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
    with pytest.raises(InputError, match="known are binary_mnist"):
        data.load("minst", tmp_path)


def test_a_web_page_under_the_canonical_name_is_called_one(tmp_path):
    (tmp_path / "mnist.npz").write_text("<!DOCTYPE html><html></html>")
    with pytest.raises(InputError, match="HTML page"):
        data.load("mnist", tmp_path)


def test_own_images_come_back_from_their_tfds_dataset(tmp_path):
    arrays = save_images(tmp_path / "own.npz", y_train=np.arange(12), y_test=np.arange(5))
    preparing.import_files("own", [tmp_path / "own.npz"], tmp_path / "data")
    loaded = data.load("own", tmp_path / "data")
    for split in ("train", "test"):
        np.testing.assert_array_equal(loaded.splits[split][..., 0], arrays[f"x_{split}"])
        np.testing.assert_array_equal(loaded.labels[split], arrays[f"y_{split}"])
    assert loaded.maximum == 255 and "own.npz" in loaded.variant and loaded.source == "tfds own/1.0.0"
    with pytest.raises(InputError, match="already prepared"):
        preparing.import_files("own", [tmp_path / "own.npz"], tmp_path / "data")


def test_a_prepared_dataset_goes_before_the_canonical_file(tmp_path, monkeypatch):
    small = data.CATALOG["mnist"]._replace(sizes={"train": 12, "test": 5})
    monkeypatch.setitem(data.CATALOG, "mnist", small)
    rng = np.random.default_rng(0)
    x = {"x_train": rng.integers(0, 256, (12, 28, 28), np.uint8), "x_test": rng.integers(0, 256, (5, 28, 28), np.uint8)}
    np.savez(tmp_path / "mine.npz", **x)
    (tmp_path / "mnist.npz").write_bytes(b"never read")
    preparing.import_files("mnist", [tmp_path / "mine.npz"], tmp_path)
    assert data.load("mnist", tmp_path).source == "tfds mnist/1.0.0"
    with pytest.raises(InputError, match="has the splits"):
        save_images(tmp_path / "short.npz", x_train=x["x_train"][:3], x_test=x["x_test"])
        preparing.import_files("mnist", [tmp_path / "short.npz"], tmp_path / "other")


def test_amat_files_are_read(tmp_path):
    x = np.random.default_rng(0).integers(0, 2, (3, 784))
    np.savetxt(tmp_path / "binarized_mnist_valid.amat", x, fmt="%d")
    np.testing.assert_array_equal(readers.read(tmp_path / "binarized_mnist_valid.amat")["x_valid"].reshape(3, 784), x)


def test_burda_s_columns_come_out_upright(tmp_path):
    upright = np.zeros((2, 28, 28))
    upright[0, 3, :] = 1.0  # a horizontal line
    columns = upright.transpose(0, 2, 1).reshape(2, 784).T
    scipy.io.savemat(tmp_path / "chardata.mat", {"data": columns, "testdata": columns[:, :1]})
    np.testing.assert_array_equal(readers.read(tmp_path / "chardata.mat")["x_train"], 255 * upright)


def test_idx_files_are_read(tmp_path):
    x = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(struct.pack(">BBBBiii", 0, 0, 8, 3, *x.shape) + x.tobytes()))
    np.testing.assert_array_equal(readers.read(path)["x_test"], x)


def damaged(path, kind):
    if kind == "truncated":
        save_images(path)
        path.write_bytes(path.read_bytes()[:200])
    elif kind == "page":
        path.write_text("\n <html>404</html>")
    elif kind == "pickle":
        np.savez(path, x_train=np.array([{}], dtype=object))
    elif kind == "shape":
        save_images(path, x_test=np.zeros((5, 64), np.uint8))
    elif kind == "floats":
        save_images(path, x_test=np.zeros((5, 8, 8)))
    elif kind == "range":
        save_images(path, x_test=np.full((5, 8, 8), -1))
    elif kind == "sizes":
        save_images(path, x_test=np.zeros((5, 9, 9), np.uint8))
    elif kind == "labels":
        save_images(path, y_train=np.arange(3))
    elif kind == "no test":
        save_images(path, x_test=None)


KINDS = ("truncated", "page", "pickle", "shape", "floats", "range", "sizes", "labels", "no test", "missing")


@pytest.mark.parametrize("kind", KINDS)
def test_bad_files_are_refused_in_one_line_and_leave_nothing(tmp_path, kind):
    damaged(tmp_path / "bad.npz", kind)
    with pytest.raises(InputError) as error:
        preparing.import_files("own", [tmp_path / "bad.npz"], tmp_path / "data")
    assert "\n" not in str(error.value) and "bad.npz" in str(error.value)
    assert not any((tmp_path / "data").rglob("*"))


def test_fetch_of_what_tfds_does_not_have_says_how_to_get_it(tmp_path):
    with pytest.raises(InputError, match="data import omniglot chardata.mat"):
        preparing.fetch("omniglot", tmp_path)


def test_batches_are_a_function_of_seed_and_epoch():
    images = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1)
    run = ShuffledBatches(images, 255, 6, seed=3)
    assert len(run) == 3
    epochs = []
    for _ in range(3):
        epochs.append(np.concatenate([run[i][0].ravel() for i in range(3)]) * 255)
        run.on_epoch_end()
    resumed = ShuffledBatches(images, 255, 6, seed=3, epoch=2)
    np.testing.assert_allclose(np.concatenate([resumed[i][0].ravel() for i in range(3)]) * 255, epochs[2])
    np.testing.assert_allclose(epochs[1], epoch_order(20, 3, 1)[:18], rtol=1e-5)
    assert len({tuple(np.round(e)) for e in epochs}) == 3
    assert np.any(epoch_order(20, 4, 1) != epoch_order(20, 3, 1))
