"""Tables of text, written by pandas and numpy: images and vectors, with labels where they are."""

import numpy as np
import pandas as pd
import pytest

from echo_tf.data import preparing
from tests.test_data_files import CLASSES, RGB, RNG, read, refused, same


def csv(path, frame, **options):
    frame.to_csv(path, **{"index": False, **options})
    return path


SQUARE = RNG.integers(0, 256, (12, 8, 8), np.uint8)
FLAT = pd.DataFrame(SQUARE.reshape(12, 64))


@pytest.mark.parametrize("where", [0, 64])
@pytest.mark.parametrize("name", ["label", "Target", "class"])
def test_a_header_names_the_labels(tmp_path, where, name):
    frame = FLAT.copy()
    frame.insert(where, name, CLASSES)
    same(read(csv(tmp_path / "train.csv", frame)), CLASSES, train=SQUARE)
    same(read(csv(tmp_path / "train.csv", frame, index=True)), CLASSES, train=SQUARE)
    frame = frame.rename(columns={name: "digit"})
    refused("name that column label in a header", csv(tmp_path / "train.csv", frame))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"header": False},
        {"header": [f"pixel{i}" for i in range(64)]},
        {"header": [f"{i}" for i in range(1, 65)]},
        {"index": True},
        {"sep": ";"},
        {"sep": "\t", "header": False},
        {"sep": " ", "header": False},
    ],
)
def test_tables_of_a_square_number_of_pixels_are_images_with_or_without_a_header(tmp_path, options):
    same(read(csv(tmp_path / "train.csv", FLAT, **options)), train=SQUARE)


def test_compressed_tables_are_read(tmp_path):
    same(read(csv(tmp_path / "train.csv.gz", FLAT)), train=SQUARE)


def test_mnist_in_csv_has_its_labels_first_and_larochelle_s_last(tmp_path):
    digits = RNG.integers(0, 256, (300, 28, 28), np.uint8)
    digits[:, 0, 0] = digits[:, -1, -1] = 0
    labels = np.arange(300) % 10
    table = np.column_stack([labels, digits.reshape(300, 784)])
    np.savetxt(tmp_path / "mnist_train.csv", table, fmt="%d", delimiter=",")
    np.savetxt(tmp_path / "mnist_test.csv", table[:20], fmt="%d", delimiter=",")
    data = read(tmp_path / "mnist_train.csv", tmp_path / "mnist_test.csv")
    same(data, labels, train=digits, test=digits[:20])
    np.savetxt(tmp_path / "train.amat", np.roll(table, -1, axis=1), fmt="%d")
    same(read(tmp_path / "train.amat"), labels, train=digits)


def test_labels_without_a_header_are_refused_where_either_end_could_be_them(tmp_path):
    table = (RNG.random((50, 65)) < 0.5).astype(int)
    np.savetxt(tmp_path / "a.csv", table, fmt="%d", delimiter=",")
    refused("name that column label in a header", tmp_path / "a.csv")


@pytest.mark.parametrize("scale", [1, 255])
def test_labels_beside_pixels_that_are_written_with_a_point_are_no_pixel(tmp_path, scale):
    pixels = SQUARE.reshape(12, 64) / scale
    for name, columns in (("first", [CLASSES[:, None], pixels]), ("last", [pixels, CLASSES[:, None]])):
        np.savetxt(tmp_path / "train.csv", np.hstack(columns), delimiter=",")
        same(read(tmp_path / "train.csv"), CLASSES, train=SQUARE)
        _, notes = preparing.read("mine", [tmp_path / "train.csv"])
        assert notes == [f"the {name} column of train.csv is taken for labels"]


def test_labels_beside_coloured_pixels_are_found_and_vectors_of_that_size_stay_whole(tmp_path):
    pixels = RNG.integers(100, 256, (12, 192))
    pixels[:, -1] = np.arange(200, 212)  # all different: no classes
    np.savetxt(tmp_path / "train.csv", np.hstack([CLASSES[:, None], pixels]), fmt="%d", delimiter=",")
    data = read(tmp_path / "train.csv", shape=[8, 8, 3])
    assert data.image_shape == (8, 8, 3) and data.labels["train"].tolist() == CLASSES.tolist()
    x = RNG.normal(size=(12, 65))
    np.savetxt(tmp_path / "a.csv", x, delimiter=",")
    np.testing.assert_allclose(read(tmp_path / "a.csv", test_fraction=0).splits["train"], x, rtol=1e-6)
    x[:, -1] = CLASSES
    np.savetxt(tmp_path / "a.csv", x, delimiter=",")
    refused("name that column label", tmp_path / "a.csv")
    csv(tmp_path / "b.csv", pd.DataFrame(x, columns=[f"feature {i}" for i in range(65)]))
    assert read(tmp_path / "b.csv").image_shape == (65,)


def test_row_numbers_are_no_labels(tmp_path):
    table = np.hstack([np.arange(12)[:, None], SQUARE.reshape(12, 64)])
    table[:, -1] = 0
    np.savetxt(tmp_path / "a.csv", table, fmt="%d", delimiter=",")
    refused("neither the first nor the last column can be labels", tmp_path / "a.csv")


def test_a_first_line_of_truths_is_no_header(tmp_path):
    x = RNG.random((12, 9)) < 0.5
    same(read(csv(tmp_path / "train.csv", pd.DataFrame(x), header=False)), train=x)


def test_names_in_the_last_column_are_labels(tmp_path):
    frame = pd.DataFrame(RNG.normal(size=(9, 4)))
    frame["species"] = ["a#b", "bee", "cat"] * 3
    data = read(csv(tmp_path / "a.csv", frame, header=False), test_fraction=0)
    assert data.class_names == ("a#b", "bee", "cat") and data.image_shape == (4,)
    np.testing.assert_array_equal(data.splits["train"], frame.iloc[:, :4].to_numpy(np.float32))
    refused("text", csv(tmp_path / "b.csv", frame))  # under a name that says nothing


def test_columns_x_and_y_are_points_in_the_plane(tmp_path):
    x = RNG.normal(size=(9, 2))
    data = read(csv(tmp_path / "a.csv", pd.DataFrame(x, columns=["x", "y"])), test_fraction=0)
    np.testing.assert_allclose(data.splits["train"], x, rtol=1e-6)
    named = read(csv(tmp_path / "b.csv", pd.DataFrame({"a": x[:, 0], "y": np.arange(9)})), test_fraction=0)
    assert named.image_shape == (1,) and named.labels["train"].tolist() == list(range(9))


def test_other_numbers_of_columns_are_vectors(tmp_path):
    x = RNG.normal(size=(12, 64))  # a square number, but no pixels
    data = read(csv(tmp_path / "a.csv", pd.DataFrame(x)), test_fraction=0)
    assert data.image_shape == (64,) and data.maximum is None
    np.testing.assert_allclose(data.splits["train"], x, rtol=1e-6)
    same(
        read(csv(tmp_path / "b.csv", pd.DataFrame(RGB.reshape(12, 144)[:, :90])), test_fraction=0),
        train=RGB.reshape(12, 144)[:, :90],
    )
    assert read(csv(tmp_path / "c.csv", pd.DataFrame(RGB[:, :4, :4].reshape(12, 48))), shape=[4, 4, 3]).image_shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,4\n4,,6\n", "nothing .* in its 2th line"),
        ("1,2,3\n4,5,6\n", "a header or values"),
        ("1,2,4\n4,x,6\n", "text"),
        ("1,2,4\n4,5\n", "nothing"),
        ("1,2,4\n4,5,6,7\n", "cannot be read"),
        ("a,b,label\n", "No columns"),
        ("a,label,b\n1,2,3\n", "the first or the last"),
        ("label,a,target\n1,2,3\n", "got label, target"),
        ("label,a\n,5\n1,7\n", "no label in its 1th"),
        ("1,a,3\n", "text in column 2"),
        ("\n1,2,300\n", "begins with an empty line"),
        ("1\0,\0002\0\n", "save it as text in UTF-8"),
        ("cat,5,2,dog\ncat,1,2,dog\n", "text in column 1 and 4"),
    ],
)
def test_tables_that_leave_something_open_are_refused(tmp_path, text, words):
    (tmp_path / "bad.csv").write_text(text)
    refused(words, tmp_path / "bad.csv")


def test_binarized_mnist_s_own_files_come_in(tmp_path):
    x = RNG.integers(0, 2, (2050, 28, 28))  # more than are read at once
    paths = [tmp_path / f"binarized_mnist_{split}.amat" for split in ("train", "valid", "test")]
    for path, rows in zip(paths, (slice(None), slice(3), slice(5))):
        np.savetxt(path, x[rows].reshape(-1, 784), fmt="%d")
    same(read(*paths), train=x, valid=x[:3], test=x[:5])
