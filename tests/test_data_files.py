"""Files of arrays in the forms that people have, written by numpy, SciPy and h5py: read back pixel for pixel, or refused."""

import gzip
import pickle
import struct
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io

from echo_tf.data import preparing
from echo_tf.errors import InputError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 8, 6), np.uint8)
RGB = RNG.integers(0, 256, (12, 8, 6, 3), np.uint8)
CLASSES = np.arange(12) % 3


def read(*paths, **options):
    return preparing.read("mine", paths, **options)[0]


def refused(words, *paths, **options):
    with pytest.raises(InputError, match=words) as error:
        read(*paths, **options)
    assert "\n" not in str(error.value)


def same(data, labels=None, **splits):
    """Whether a dataset has exactly these pixels, and these labels in "train"."""
    assert data.splits.keys() == splits.keys()
    for split, x in splits.items():
        np.testing.assert_array_equal(data.splits[split].reshape(x.shape), x)
        assert data.splits[split].ndim == (4 if x.ndim > 2 else 2)
    if labels is not None:
        np.testing.assert_array_equal(data.labels["train"], labels)


# ---- npz, npy, HDF5


@pytest.mark.parametrize(
    "keys",
    [
        ("x_train", "y_train", "x_test"),
        ("X_train", "Y_train", "X_test"),
        ("train_images", "train_labels", "test_images"),
        ("train", "train_labels", "test"),
        ("images", "labels", "test_images"),
        ("data", "target", "testdata"),
        ("train_set_x", "train_set_y", "test_set_x"),
    ],
)
@pytest.mark.parametrize("form", ["npz", "h5"])
def test_arrays_of_common_names_are_understood(tmp_path, keys, form):
    arrays = dict(zip(keys, (GREY, CLASSES, GREY[:3])))
    path = tmp_path / f"mine.{form}"
    if form == "npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for key, x in arrays.items():
                file[key] = x
    same(read(path), CLASSES, train=GREY, test=GREY[:3])


def test_validation_parts_and_groups_of_hdf5_are_understood(tmp_path):
    with h5py.File(tmp_path / "mine.hdf5", "w") as file:
        file["set1/train/images"], file["set1/train/labels"] = RGB, CLASSES[:, None]
        file["set1/val/images"], file["set1/test/x"] = RGB[:4], RGB[4:7]
    same(read(tmp_path / "mine.hdf5"), CLASSES, train=RGB, valid=RGB[:4], test=RGB[4:7])


def test_text_labels_of_hdf5_keep_their_names(tmp_path):
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["x"], file["y"] = GREY, [f"class {i}" for i in CLASSES]
    data = read(tmp_path / "mine.h5", test_fraction=0)
    assert data.class_names == ("class 0", "class 1", "class 2")
    same(data, CLASSES, train=GREY)


def test_arrays_that_are_not_understood_are_named_or_mentioned(tmp_path):
    np.savez(tmp_path / "mine.npz", faces=GREY, who=CLASSES)
    refused("has the arrays faces, who; name what is meant x_train", tmp_path / "mine.npz")
    np.savez(tmp_path / "more.npz", images=GREY, drawer=CLASSES)
    _, notes = preparing.read("mine", [tmp_path / "more.npz"])
    assert notes == ["not used of more.npz: drawer"]


def test_names_of_classes_beside_their_numbers_are_kept(tmp_path):
    np.savez(tmp_path / "a.npz", x=GREY, y=CLASSES, class_names=np.array(["ape", "bee", "cat"]))
    assert read(tmp_path / "a.npz").class_names == ("ape", "bee", "cat")
    np.savez(tmp_path / "b.npz", x=GREY, y=CLASSES, class_names=np.array(["ape", "bee"]))
    refused("2 names of classes for labels 0..2", tmp_path / "b.npz")


def test_separate_npy_files_are_told_apart_by_their_names(tmp_path):
    paths = [tmp_path / f"{name}.npy" for name in ("x_train", "y_train", "x_test")]
    for path, x in zip(paths, (GREY, CLASSES, GREY[:3])):
        np.save(path, x)
    same(read(*paths), CLASSES, train=GREY, test=GREY[:3])
    same(read(paths[0], paths[2]), train=GREY, test=GREY[:3])
    refused("labels of train, which has no examples|no training examples", paths[1], paths[2])


def test_files_called_after_their_split_give_it_to_the_arrays_in_them(tmp_path):
    np.savez(tmp_path / "my_train.npz", images=GREY, labels=CLASSES)
    np.savez(tmp_path / "my_test.npz", GREY[:3])
    same(read(tmp_path / "my_train.npz", tmp_path / "my_test.npz"), CLASSES, train=GREY, test=GREY[:3])
    refused("no training examples", tmp_path / "my_test.npz")


def test_two_arrays_of_one_split_are_refused(tmp_path):
    for name in ("a", "b", "train_1", "x_train"):
        np.save(tmp_path / f"{name}.npy", GREY)
    np.savez(tmp_path / "both.npz", x_train=GREY, train_images=GREY)
    refused("a.npy and .*b.npy both hold the examples of no split", tmp_path / "a.npy", tmp_path / "b.npy")
    refused("both hold the examples of train", tmp_path / "train_1.npy", tmp_path / "x_train.npy")
    refused("x_train of .* and train_images of", tmp_path / "both.npz")
    refused("both hold the examples of train", tmp_path / "a.npy", tmp_path / "x_train.npy")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": GREY, "y": CLASSES[:5]}, r"shape \(5,\) for the 12 examples"),
        ({"x_train": GREY, "y_test": CLASSES}, "labels of test, which has no examples"),
        ({"x_train": GREY, "x_test": GREY[:, :4]}, "different shapes"),
        ({"x": GREY, "y": RNG.random((12, 6))}, "not one-hot"),
        ({"x": GREY, "y": CLASSES + 0.5}, "got 0.5"),
        ({"x": np.zeros((0, 8, 8), np.uint8)}, "empty"),
        ({"x": GREY // 16}, "integers of 0..15"),
        ({"x": np.array([{}], dtype=object)}, "cannot be read"),
        ({"x_test": GREY}, "no training examples"),
        ({"x": RNG.integers(0, 9, (12, 8, 8, 8), np.uint8)}, "leave open"),
        ({"y": CLASSES}, "no training examples"),
        ({"y": CLASSES, "faces": GREY}, "not used of bad.npz: faces"),
        ({"x": RGB[0]}, "leaves open what an example is"),
        ({"x": 5}, "single value"),
    ],
)
def test_what_leaves_something_open_is_refused_with_the_name_of_the_file(tmp_path, arrays, words):
    np.savez(tmp_path / "bad.npz", **arrays)
    refused(rf"(?s)bad.npz.*{words}|{words}.*bad.npz", tmp_path / "bad.npz")


def test_factors_are_kept_and_no_test_part_is_taken_from_their_grid(tmp_path):
    factors = np.stack(np.unravel_index(np.arange(12), (3, 4)), axis=1)
    np.savez(tmp_path / "a.npz", images=GREY, factors=factors.astype(float), factor_names=np.array(["shape", "x"]))
    data = read(tmp_path / "a.npz")
    assert data.factor_sizes == (3, 4) and data.factor_names == ("shape", "x") and data.splits.keys() == {"train"}
    np.testing.assert_array_equal(data.images(np.array([[2, 1]])), GREY[9:10, ..., None] / np.float32(255))
    np.savez(tmp_path / "b.npz", images=GREY, latents_classes=factors, metadata=np.array({"a": 1}, dtype=object))
    assert read(tmp_path / "b.npz").factor_sizes == (3, 4)  # the pickle beside it is not touched
    np.savez(tmp_path / "c.npz", images=GREY, labels=factors)
    refused("factors of variation are to be named factors", tmp_path / "c.npz")


def test_a_random_test_part_is_the_same_every_time_and_said(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(200, dtype=np.uint8)[:, None], y=np.arange(200))
    data, again = read(tmp_path / "a.npz"), read(tmp_path / "a.npz")
    assert len(data.splits["test"]) == 20 and "0.1 of it, drawn with seed 0" in data.variant and again.sha256 == data.sha256
    assert sorted([*data.splits["train"][:, 0], *data.splits["test"][:, 0]]) == list(range(200))
    for split in data.splits:
        np.testing.assert_array_equal(data.splits[split][:, 0], data.labels[split])
    assert read(tmp_path / "a.npz", test_fraction=0).splits.keys() == {"train"}
    assert len(read(tmp_path / "a.npz", test_fraction=0.25).splits["test"]) == 50
    refused("from 0 to below 1", tmp_path / "a.npz", test_fraction=1.5)


# ---- what is no data


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.npz", b"\n <html>404</html>", "HTML page"),
        ("a.csv", b"\xef\xbb\xbf<!DOCTYPE html>", "HTML page"),
        ("a.npz", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        ("a.npz", b"", "is empty"),
        ("a.npy", b"\x93NUMPY\x01\x00v\x00{'descr'", "cannot be read"),
        ("a.npz", b"PK\x03\x04" + bytes(90), "cannot be read"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(90), "cannot be read"),
        ("a.mat", b"MATLAB 5.0 MAT-file" + bytes(200), "cannot be read|arrays"),
        ("a.gz", gzip.compress(bytes(1000), mtime=0)[:20], "cannot be read"),
        ("a.pkl", pickle.dumps({"x": 1}), "runs code when it is read"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "give the folder"),
        ("a.parquet", b"PAR1", "none of the forms that can be imported"),
        ("a.h5", b"garbage", "or damaged"),
    ],
)
def test_what_is_no_data_is_called_what_it_is(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    refused(words, tmp_path / name)


def test_archives_of_other_things_are_to_be_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("image.png", b"...")
    refused("unpack it", tmp_path / "a.zip")
    refused("does not exist", tmp_path / "missing.npz")


def test_a_truncated_file_is_refused_at_every_length(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=GREY, y=CLASSES)
    scipy.io.savemat(tmp_path / "b.mat", {"X": GREY, "y": CLASSES}, do_compression=True)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("x", data=GREY, compression="gzip")
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        for length in np.linspace(1, len(content) - 1, 25).astype(int):
            path.write_bytes(content[:length])
            refused(path.name, path)


# ---- idx


def idx(array, code):
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()


@pytest.mark.parametrize(("code", "kind"), [(8, ">u1"), (0xB, ">i2"), (0xC, ">i4"), (0xD, ">f4"), (0xE, ">f8")])
@pytest.mark.parametrize("compress", [gzip.compress, bytes])
def test_idx_files_are_known_by_their_magic_number(tmp_path, code, kind, compress):
    (tmp_path / "train.whatever").write_bytes(compress(idx(GREY.astype(kind), code)))
    (tmp_path / "training-y").write_bytes(compress(idx(CLASSES.astype(kind), code)))
    same(read(tmp_path / "train.whatever", tmp_path / "training-y"), CLASSES, train=GREY)


def test_idx_files_must_say_their_split_and_be_whole(tmp_path):
    (tmp_path / "images").write_bytes(idx(GREY, 8))
    refused("must say its split: put train, valid or test", tmp_path / "images")
    (tmp_path / "train").write_bytes(idx(GREY, 8)[:-1])
    refused("truncated or damaged", tmp_path / "train")


# ---- MATLAB


def mat73(path, arrays):
    """As MATLAB 7.3 saves: HDF5 with the axes reversed, behind a block of 512 bytes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, x in arrays.items():
            file[name] = np.asarray(x).T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
        file["#refs#/a"] = np.zeros(2)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))
    return path


def mat5(path, arrays):
    scipy.io.savemat(path, arrays)
    return path


SAVERS = pytest.mark.parametrize("save", [mat5, mat73])


@SAVERS
def test_svhn_s_axes_are_turned(tmp_path, save):
    arrays = {"X": np.moveaxis(RGB, 0, -1), "y": CLASSES[:, None] + 1}
    same(read(save(tmp_path / "train_32x32.mat", arrays)), CLASSES + 1, train=RGB)


@SAVERS
def test_burda_s_columns_come_out_upright(tmp_path, save):
    x = RNG.random((5, 28, 28))
    columns = x.transpose(0, 2, 1).reshape(5, 784).T
    data = read(save(tmp_path / "chardata.mat", {"data": columns, "testdata": columns[:, :2], "target": np.ones((50, 5))}))
    same(data, train=x.astype(np.float32), test=x[:2].astype(np.float32))
    assert data.limits == (0, 1)


@SAVERS
def test_matlab_s_0_to_255_do_not_wrap(tmp_path, save):
    x = RNG.integers(0, 256, (5, 28, 28))
    columns = x.transpose(0, 2, 1).reshape(5, 784).T.astype(float)
    same(read(save(tmp_path / "chardata.mat", {"data": columns, "testdata": columns[:, :2]})), train=x, test=x[:2])


@SAVERS
def test_axes_of_matlab_are_told_by_labels_sides_or_the_other_splits(tmp_path, save):
    square = RNG.integers(0, 256, (12, 8, 8), np.uint8)
    same(read(save(tmp_path / "a.mat", {"images": np.moveaxis(square, 0, -1)}), test_fraction=0), train=square)
    same(read(save(tmp_path / "b.mat", {"images": square}), test_fraction=0), train=square)
    flat = GREY.reshape(12, 48)
    same(read(save(tmp_path / "c.mat", {"fea": flat, "gnd": CLASSES[None]}), test_fraction=0), CLASSES, train=flat)
    same(read(save(tmp_path / "d.mat", {"x": flat.T, "y": CLASSES[None]}), test_fraction=0), CLASSES, train=flat)
    same(read(save(tmp_path / "e.mat", {"train": flat.T, "test": flat[:5].T})), train=flat, test=flat[:5])
    refused("leaves open which axis", save(tmp_path / "f.mat", {"x": flat}))
    refused("leaves open which axis", save(tmp_path / "g.mat", {"x": GREY}))
    refused("column by column", save(tmp_path / "h.mat", {"x": flat, "y": CLASSES}), shape=[8, 6])


@SAVERS
def test_other_variables_of_matlab_are_named(tmp_path, save):
    refused("has the arrays ff;", save(tmp_path / "frey.mat", {"ff": np.ones((560, 20))}))


@pytest.mark.parametrize("value", [np.nan, -1.0, np.inf])
def test_matlab_s_odd_values_are_refused_or_kept_as_they_are(tmp_path, value):
    columns = RNG.random((784, 5))
    columns[7, 3] = value
    path = mat5(tmp_path / "chardata.mat", {"data": columns, "testdata": columns[:, :1]})
    if value == -1.0:
        assert read(path).limits == (-1.0, 1.0)
    else:
        refused("NaN", path)


def test_matlab_s_complex_numbers_and_structures_are_refused(tmp_path):
    refused("complex", mat5(tmp_path / "a.mat", {"images": RGB * 1j, "labels": CLASSES}))
    refused("structure", mat5(tmp_path / "b.mat", {"images": {"x": GREY}, "labels": CLASSES}))
