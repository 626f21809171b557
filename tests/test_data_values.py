"""What numbers, axes and labels become, and what is refused because it leaves something open."""

import warnings

import numpy as np
import pytest

from echo_tf.data.labels import as_classes, as_factors
from echo_tf.data.layout import as_examples
from echo_tf.data.values import as_values
from echo_tf.errors import InputError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 4, 4, 1), np.uint8)
GREY.flat[:2] = 0, 255


def values(train, limits=None, **others):
    splits, maximum, limits = as_values({"train": train, **others}, limits)
    return splits["train"], maximum, limits


def refused(words, function, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a cast that loses something warns
        with pytest.raises(InputError, match=words) as error:
            function(*args)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.uint64, np.float16, np.float32, np.float64, ">i4", ">f8"])
def test_whole_numbers_of_any_type_up_to_255_are_the_same_bytes(kind):
    found, maximum, limits = values(GREY.astype(kind))
    assert (found.dtype, maximum, limits) == (np.uint8, 255, (0.0, 1.0))
    np.testing.assert_array_equal(found, GREY)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int32, np.float32, np.float64])
def test_zeros_and_ones_of_any_type_are_binary(kind):
    found, maximum, _ = values((GREY > 99).astype(kind))
    assert found.dtype == np.uint8 and maximum == 1
    np.testing.assert_array_equal(found, GREY > 99)


@pytest.mark.parametrize(
    "divided",
    [
        GREY.astype(np.float32) / 255,
        GREY / 255,
        GREY.astype(np.float32) * np.float32(1 / 255),
        (GREY / 255 - 0.5).astype(np.float32) + np.float32(0.5),
    ],
)
def test_multiples_of_1_255_are_bytes_exactly(divided):
    found, maximum, _ = values(divided)
    assert maximum == 255
    np.testing.assert_array_equal(found, GREY)
    near = np.clip(divided + 1e-3 / 255, 0, 1)  # by more than rounding
    assert values(near)[0].dtype == np.float32


@pytest.mark.parametrize(("low", "high", "limits"), [(0, 1, (0, 1)), (-0.9, 1, (-1, 1)), (-3, 7.5, None), (0, 255, None)])
def test_other_floats_stay_floats_with_their_range(low, high, limits):
    x = RNG.uniform(low, high, (50, 4, 4, 3))
    found, maximum, (lowest, highest) = values(x)
    assert found.dtype == np.float32 and maximum is None
    np.testing.assert_array_equal(found, x.astype(np.float32))
    assert (lowest, highest) == (limits or (np.float32(x.min()), np.float32(x.max())))


def test_whole_floats_are_bytes_only_if_they_are_images():
    counts = RNG.integers(0, 30, (50, 5)).astype(float)
    found, maximum, limits = values(counts)
    assert maximum is None and limits == (0, 29)
    np.testing.assert_array_equal(found, counts)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("high", [2, 16, 100, 127])
def test_whole_numbers_that_do_not_tell_their_range_are_refused_until_it_is_declared(kind, high):
    x = RNG.integers(0, high + 1, (9, 8, 8, 1)).astype(kind)
    x.flat[0] = high
    refused(rf"integers of 0..{high} .* --range 0 {high}", values, x)
    found, maximum, limits = values(x, (0, high))
    assert found.dtype == np.uint8 and maximum == high and limits == (0, 1)
    np.testing.assert_array_equal(found, x)


def test_the_largest_value_is_that_of_all_splits():
    found, maximum, _ = values(GREY % 100, test=GREY)
    assert maximum == 255
    np.testing.assert_array_equal(found, GREY % 100)


def test_large_integers_are_divided_by_the_range_that_is_declared():
    x = RNG.integers(0, 4096, (9, 4, 4, 1)).astype(np.uint16)
    refused("declare their range", values, x)
    found, maximum, limits = values(x, (0, 4095))
    assert found.dtype == np.float32 and maximum is None and limits == (0, 1)
    np.testing.assert_array_equal(np.rint(found * 4095.0), x)


def with_one(value, kind=np.float64):
    x = GREY.astype(kind)
    x[1, 2, 3, 0] = value
    return x


@pytest.mark.parametrize(
    ("x", "limits", "words"),
    [
        (with_one(np.nan), None, "NaN"),
        (with_one(np.inf), None, "NaN, infinite"),
        (with_one(1e300), None, "beyond float32"),
        (with_one(-1, np.int64), None, r"-1..255 .*after making the lowest 0"),
        (with_one(256, np.int64), None, "0..256"),
        (with_one(1j, complex), None, "complex128"),
        (GREY.astype(str), None, "integers or floats"),
        (GREY.astype(object), None, "object"),
        (GREY.astype("M8[s]"), None, "datetime64"),
        (np.full((3, 4, 4, 1), 7, np.uint8), None, "every value is 7"),
        (np.zeros((3, 4, 4, 1)), None, "every value is 0"),
        (GREY, (0, 100), "outside the declared --range 0 100"),
        (GREY, (255, 0), "lowest and a highest"),
        (GREY, (0, np.nan), "lowest and a highest"),
        (GREY, (-5, 255), "from 0 to an integer"),
        (GREY, (0, 2.0**30), "do not fit into float32"),
    ],
)
def test_values_that_leave_something_open_are_refused(x, limits, words):
    refused(words, values, x, limits)


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        (GREY, GREY > 99, "up to 255, test up to 1"),
        (GREY, (GREY > 99).astype(np.uint8), "up to 255, test up to 1"),
        (GREY * 1.0, GREY / 255, "up to 255, test up to 1: .* --range 0 255"),
        (GREY, GREY / 255, "different kinds"),
    ],
)
def test_splits_on_two_scales_are_refused(train, test, words):
    refused(words, as_values, {"train": train, "test": test})


def test_a_declared_range_of_floats_is_kept():
    x = RNG.uniform(0, 1, (9, 4))
    assert values(x, (0, 10))[2] == (0, 10) and values(x, (-1, 1))[2] == (-1, 1)


@pytest.mark.parametrize(
    ("shape", "expected", "said"),
    [
        ((5, 8, 8), (5, 8, 8, 1), False),
        ((5, 8, 6, 3), (5, 8, 6, 3), False),
        ((5, 1, 8, 6), (5, 8, 6, 1), True),
        ((5, 3, 8, 6), (5, 8, 6, 3), True),
        ((5, 4, 8, 8), (5, 8, 8, 4), True),
        ((5, 4, 4, 1), (5, 4, 4, 1), False),
        ((5, 1, 4, 4), (5, 4, 4, 1), True),
        ((5, 8, 6, 2), (5, 8, 6, 2), False),
        ((5, 8, 8, 7), (5, 8, 8, 7), False),
        ((5, 9), (5, 9), False),
        ((5, 4, 4), (5, 4, 4, 1), False),
        ((5, 3, 8), (5, 3, 8, 1), False),
    ],
)
def test_axes_that_are_plain_are_recognized(shape, expected, said):
    x = RNG.random(shape)
    found, notes = as_examples({"train": x})
    assert found["train"].shape == expected and bool(notes) == said
    np.testing.assert_array_equal(found["train"].reshape(-1), (np.moveaxis(x, 1, -1) if said else x).reshape(-1))


@pytest.mark.parametrize(
    "shape", [(5, 2, 8, 8), (5, 3, 3, 3), (5, 8, 8, 8), (5, 2, 8, 3), (5, 13, 8, 8), (5, 1, 8, 1), (5, 4, 4, 64), (5, 64, 4, 4)]
)
def test_axes_that_leave_the_channels_open_are_refused(shape):
    refused("leave open", as_examples, {"train": np.zeros(shape)})


def test_a_declared_shape_tells_where_the_channels_are():
    x = RNG.random((5, 4, 4, 64))
    np.testing.assert_array_equal(as_examples({"train": x}, [4, 4, 64])[0]["train"], x)
    found, notes = as_examples({"train": x}, [4, 64, 4])
    np.testing.assert_array_equal(found["train"], np.moveaxis(x, 1, -1))
    assert notes == ["channels were first, images are now 4x64x4"]
    refused("leave open", as_examples, {"train": x[..., :4]}, [4, 4, 4])


@pytest.mark.parametrize("shape", [(28, 20, 3), (28, 20, 4), (9, 784, 1), (9, 1, 784)])
def test_one_image_or_rows_with_an_axis_too_many_are_not_taken_for_narrow_images(shape):
    x = RNG.random(shape)
    refused(f"--shape {shape[1]} {shape[2]} for images, --shape {shape[1] * shape[2]} for vectors", as_examples, {"train": x})
    np.testing.assert_array_equal(as_examples({"train": x}, shape[1:])[0]["train"][..., 0], x)
    np.testing.assert_array_equal(as_examples({"train": x}, [shape[1] * shape[2]])[0]["train"], x.reshape(len(x), -1))


@pytest.mark.parametrize("shape", [(5,), (2, 2, 2, 2, 2), ()])
def test_other_numbers_of_axes_are_refused(shape):
    refused("must be images", as_examples, {"train": np.zeros(shape)})


def test_empty_and_unequal_splits_are_refused():
    refused("train is empty", as_examples, {"train": np.zeros((0, 8, 8))})
    refused("different shapes", as_examples, {"train": np.zeros((3, 8, 8)), "test": np.zeros((3, 64))})


def test_a_declared_shape_makes_images_of_vectors():
    x = RNG.random((5, 24))
    np.testing.assert_array_equal(as_examples({"train": x}, [4, 6])[0]["train"], x.reshape(5, 4, 6, 1))
    np.testing.assert_array_equal(as_examples({"train": x}, [2, 4, 3])[0]["train"], x.reshape(5, 2, 4, 3))
    assert as_examples({"train": x}, [24])[0]["train"].shape == (5, 24)
    np.testing.assert_array_equal(as_examples({"train": x.reshape(5, 4, 6)}, [24])[0]["train"], x)
    refused("--shape 5 5", as_examples, {"train": x}, [5, 5])
    refused("--shape 5 5 was declared", as_examples, {"train": x.reshape(5, 4, 6)}, [5, 5])


ONE_HOT = np.eye(4)[[2, 0, 3]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.array([2, 0, 3], np.uint8), [2, 0, 3]),
        (np.array([2.0, 0.0, 3.0]), [2, 0, 3]),
        (np.array([[2], [0], [3]]), [2, 0, 3]),
        (np.array([2, 0, 3]).reshape(3, 1, 1, 1), [2, 0, 3]),
        (np.array([True, False, True]), [1, 0, 1]),
        (np.array([-1, 1, 1]), [-1, 1, 1]),
        (ONE_HOT, [2, 0, 3]),
        (ONE_HOT.astype(bool), [2, 0, 3]),
    ],
)
def test_labels_become_classes(given, expected):
    labels, names = as_classes({"train": given})
    assert labels["train"].tolist() == expected and labels["train"].dtype == np.int64 and names == ()


@pytest.mark.parametrize("kind", ["U", "S", object])
def test_names_become_classes_in_their_order_over_all_splits(kind):
    labels, names = as_classes(
        {"train": np.array(["dog", "ape"]).astype(kind), "test": np.array([["cat"], ["dog"]]).astype(kind)}
    )
    assert names == ("ape", "cat", "dog") and labels["train"].tolist() == [2, 0] and labels["test"].tolist() == [1, 2]


def test_names_that_are_numbers_go_by_number():
    labels, names = as_classes({"train": np.array(["10", "9", "0"])})
    assert names == ("0", "9", "10") and labels["train"].tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.array([0.5, 1, 2]), "got 0.5"),
        (np.array([np.nan, 1, 2]), "got nan"),
        (np.array([1j, 1, 2]), "complex"),
        (np.eye(3) * 2, "not one-hot"),
        (np.array([[0, 5], [1, 2], [3, 4]]), "named factors"),
        (np.zeros((3, 4, 5)), "one-hot"),
        (np.array(["a ", "b", "c"]), "without blanks"),
        (np.array(["a\nb", "b", "c"]), "one line"),
        (np.array([None, 1, 2]), "object"),
        (np.array([1e300, 1, 2]), "integers"),
    ],
)
def test_labels_that_leave_something_open_are_refused(given, words):
    refused(words, as_classes, {"train": given})


def test_names_beside_numbers_are_refused():
    refused("names in test and numbers", as_classes, {"train": np.arange(3), "test": np.array(["a"])})


def test_factors_have_the_sizes_of_their_largest_values():
    factors, sizes = as_factors({"train": np.array([[0, 2.0], [1, 0]]), "test": np.array([[4, 1.0]])})
    assert sizes == (5, 3) and factors["train"].tolist() == [[0, 2], [1, 0]] and factors["train"].dtype == np.uint8
    refused("count from 0", as_factors, {"train": np.array([[-1, 2]])})
    refused("integers", as_factors, {"train": np.array([[0.5, 2]])})
    refused("shape", as_factors, {"train": np.arange(3)})
