"""Datasets in memory: frozen, hashed in order, divided, padded, and asked for by factors."""

import copy
import hashlib
import itertools
import pickle

import numpy as np
import pytest

from echo_tf.data import Dataset, ImageData, PackedImages
from echo_tf.errors import InputError

GREY = np.random.default_rng(0).integers(0, 256, (20, 5, 7, 1), np.uint8)
SIZES = (2, 3, 4)
FACTORS = np.array(list(itertools.product(*map(range, SIZES))))


def grey(**more):
    return Dataset("mine", "grey", "made here", {"train": GREY, "test": GREY[:4]}, 255, **more)


def floats(**more):
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    return Dataset("mine", "floats", "made here", {"train": x}, limits=(-5.0, 5.0), **more)


def sprites(images):
    return Dataset("mine", "bits", "here", {"train": images}, 1, factors={"train": FACTORS}, factor_sizes=SIZES)


def test_images_are_divided_by_their_maximum_to_the_last_bit():
    expected = GREY[3:9].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(grey().floats("train", slice(3, 9)), expected)
    np.testing.assert_array_equal(grey().floats("train", [3, 8]), expected[[0, 5]])
    sixteen = Dataset("mine", "", "", {"train": GREY % 17}, 16)
    assert sixteen.floats("train").max() == 1.0 and sixteen.limits == (0.0, 1.0)


def test_scaled_images_fill_the_range_asked_for():
    np.testing.assert_allclose(grey().scaled(-2, 1).floats("train"), 3 * (GREY / 255) - 2, atol=1e-6)


def test_floats_are_passed_on_as_they_are_with_the_range_that_was_declared():
    data = floats()
    assert data.limits == (-5.0, 5.0) and data.image_shape == (3,)
    np.testing.assert_array_equal(data.floats("train"), data.splits["train"])
    assert np.shares_memory(data.floats("train"), data.splits["train"])  # no second copy


def test_hashes_are_those_of_the_bytes_in_order_split_by_split():
    data = grey()
    assert data.sha256 == {"train": hashlib.sha256(GREY).hexdigest(), "test": hashlib.sha256(GREY[:4]).hexdigest()}
    turned = Dataset("mine", "", "", {"train": GREY.transpose(0, 2, 1, 3)}, 255)
    assert turned.sha256["train"] == hashlib.sha256(np.ascontiguousarray(GREY.transpose(0, 2, 1, 3))).hexdigest()


def test_nothing_in_a_dataset_can_be_changed_and_the_arrays_given_stay_writable():
    x = GREY.copy()
    data = Dataset("mine", "", "", {"train": x}, 255, {"train": np.arange(20)})
    for change in (
        lambda: data.splits["train"].fill(0),
        lambda: data.labels["train"].fill(0),
        lambda: data.splits.update(train=0),
        lambda: setattr(data, "maximum", 1),
    ):
        with pytest.raises((ValueError, AttributeError)):
            change()
    x[0] = 0
    assert np.shares_memory(x, data.splits["train"])


@pytest.mark.parametrize("again", [copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_a_dataset_survives_being_sent(again):
    data = grey(labels={"test": np.arange(4)}, class_names=("a", "b", "c", "d"))
    found = again(data)
    assert found.sha256 == data.sha256 and found.limits == data.limits and found.class_names == data.class_names
    np.testing.assert_array_equal(found.labels["test"], np.arange(4))


@pytest.mark.parametrize(
    ("splits", "maximum", "more", "words"),
    [
        ({"test": GREY}, 255, {}, "needs the split train"),
        ({"train": GREY, "test": GREY[:, :4]}, 255, {}, "differ"),
        ({"train": GREY.astype(np.float64)}, None, {}, "float64"),
        ({"train": GREY}, None, {}, "uint8 with a maximum"),
        ({"train": GREY.astype(np.float32)}, None, {}, "limits"),
        ({"train": GREY}, 255, {"labels": {"train": np.arange(3)}}, "3 labels or factors for 20"),
        ({"train": GREY}, 255, {"labels": {"train": np.arange(20.0)}}, r"labels, integers \(n,\), got float64"),
        ({"train": GREY}, 255, {"labels": {"train": np.zeros((20, 1), int)}}, r"got int64 \(20, 1\)"),
        ({"train": GREY}, 255, {"factors": {"train": np.arange(20)}}, r"factors, integers \(n, F\)"),
        ({"train": GREY}, 1, {}, r"values 0..25\d, outside its range 0..1"),
        ({"train": np.full((2, 3), np.nan, np.float32)}, None, {"limits": (0, 1)}, "nan..nan, outside"),
        ({"train": np.ones((2, 3), np.float32)}, None, {"limits": (-0.5, 0.5)}, "values 1..1, outside its range -0.5..0.5"),
        ({"train": GREY, "test": GREY[:0]}, 255, {}, "test of dataset 'mine' is empty"),
        ({"train": GREY[..., 0]}, 255, {}, "must have images"),
    ],
)
def test_what_is_no_dataset_is_refused(splits, maximum, more, words):
    with pytest.raises(InputError, match=words):
        Dataset("mine", "", "", splits, maximum, **more)


def test_the_name_of_before_is_the_same_class():
    assert ImageData is Dataset


def test_padding_puts_the_lowest_value_evenly_around_and_says_so():
    data = grey().padded(4)
    assert data.image_shape == (8, 8, 1) and data.variant == "grey; padded from 5x7 to 8x8"
    np.testing.assert_array_equal(data.splits["train"][:, 1:6, 0:7], GREY)
    assert data.splits["train"].sum(dtype=int) == GREY.sum(dtype=int)
    x = np.full((2, 3, 3, 1), 0.5, np.float32)
    below = Dataset("mine", "", "", {"train": x}, limits=(-1.0, 1.0)).padded(4)
    assert below.splits["train"][0, :, :, 0].tolist() == [[0.5] * 3 + [-1.0]] * 3 + [[-1.0] * 4]


def test_padding_of_what_fits_is_the_same_dataset_and_vectors_have_no_sides():
    data = grey()
    assert data.padded(1) is data and Dataset("m", "", "", {"train": GREY[:, :4, :4]}, 255).padded(4).image_shape == (4, 4, 1)
    assert floats().padded(1).image_shape == (3,)
    with pytest.raises(InputError, match="vectors of 3 values"):
        floats().padded(4)


def test_packed_images_come_out_as_an_array_would():
    x = (np.random.default_rng(0).random((30, 5, 3, 1)) < 0.5).astype(np.uint8)
    packed = PackedImages.pack([x[:7], x[7:]])
    assert (packed.shape, len(packed), packed.dtype, packed.ndim) == (x.shape, 30, np.uint8, 4) and packed.nbytes == 30 * 2
    for rows in (3, -1, slice(4, 20, 3), [1, 1, 29], np.arange(30) % 2 == 0, np.array([], int)):
        np.testing.assert_array_equal(packed[rows], x[rows])
    np.testing.assert_array_equal(np.asarray(packed), x)
    for wrong, error in ((30, IndexError), ((slice(None), 0), TypeError)):
        with pytest.raises(error):
            packed[wrong]
    with pytest.raises(ValueError):
        PackedImages(packed.bits, (5, 5, 1))


def test_packed_images_are_padded_too():
    x = (np.random.default_rng(0).random((30, 5, 3, 1)) < 0.5).astype(np.uint8)
    data = Dataset("mine", "", "", {"train": PackedImages.pack([x])}, 1).padded(4)
    np.testing.assert_array_equal(data.splits["train"][:], np.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))))


@pytest.mark.parametrize("packed", [False, True])
def test_images_are_found_by_their_factors(packed):
    x = (np.random.default_rng(0).random((24, 4, 4, 1)) < 0.5).astype(np.uint8)
    data = sprites(PackedImages.pack([x]) if packed else x)
    wanted = np.array([[1, 2, 3], [0, 0, 0], [1, 0, 2], [1, 2, 3]])
    rows = [((shape * 3) + scale) * 4 + place for shape, scale, place in wanted]
    found = data.images(wanted)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, x[rows])


def test_the_order_of_a_factor_dataset_is_its_own():
    x = np.arange(24, dtype=np.uint8).reshape(24, 1, 1, 1)
    order = np.random.default_rng(0).permutation(24)
    data = Dataset("m", "", "", {"train": x[order]}, 23, factors={"train": FACTORS[order]})
    np.testing.assert_array_equal(np.rint(23 * data.images(FACTORS).ravel()), np.arange(24))


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ([[0, 0]], "integers"),
        ([[0.0, 0.0, 0.0]], "integers"),
        ([[0, 3, 0]], "below the sizes"),
        ([[-1, 0, 0]], "below the sizes"),
        ([[1, 2, 3]], "no training example"),
    ],
)
def test_factors_that_no_image_has_are_refused(factors, words):
    x = np.zeros((23, 4, 4, 1), np.uint8)
    data = Dataset("mine", "", "", {"train": x}, 1, factors={"train": FACTORS[:23]}, factor_sizes=SIZES)
    with pytest.raises(InputError, match=words):
        data.images(np.array(factors))
    with pytest.raises(InputError, match="no factors"):
        grey().images(np.array([[0]]))


def test_the_summary_says_sizes_shape_range_classes_and_factors():
    assert grey(labels={"train": np.arange(20) % 3}).summary == "20 train, 4 test, 5x7x1, uint8 0..255, 3 classes (train alone)"
    assert floats().summary == "20 train, 3 values, float32 -5..5"
    named = Dataset(
        "m",
        "",
        "",
        {"train": GREY[:6]},
        255,
        factors={"train": FACTORS[:6, 1:]},
        factor_names=("size", "x"),
        factor_sizes=(3, 4),
    )
    assert named.summary == "6 train, 5x7x1, uint8 0..255, factors size 3, x 4"
