"""Dependent and thinned datasets, the images that are encoded once, and which noise a representation has."""

import keras
import numpy as np
import pytest

import echo_tf
from echo_tf import data, disentangle
from echo_tf.data import ImageData
from echo_tf.disentangle import dependent, dependent_subset, factor_vae_score, representation, thinned
from echo_tf.disentangle.dependence import total_correlation
from echo_tf.errors import InputError
from tests.small_models import D, decoder, encoder

DSPRITES = (3, 6, 40, 32, 32)


def grid_of(sizes):
    return np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)


def factor_data(sizes=(3, 4, 5)):
    factors = grid_of(sizes)
    images = (np.arange(12) % (1 + factors @ [1, 3, 2])[:, None] == 0).astype(np.float32)
    return ImageData(
        "grid", "all", "made here", {"train": images}, limits=(0, 1), factors={"train": factors}, factor_names=("a", "b", "c")
    )


@pytest.mark.parametrize(("blocks", "number", "nats"), [(8, 104_960, 1.491), (4, 124_800, 1.440)])
def test_the_dependent_dsprites_has_the_size_and_total_correlation_of_the_facts(blocks, number, nats):
    kept = dependent_subset(DSPRITES, blocks)
    assert len(kept.indices) == number and kept.total_correlation == pytest.approx(nats, abs=5e-4)
    assert (np.diff(kept.indices) > 0).all()


def test_total_correlation_is_that_of_the_joint_law():
    kept = dependent_subset((3, 4, 5), 2, 0.3, seed=1)
    p = np.zeros((3, 4, 5))
    p.ravel()[kept.indices] = 1 / len(kept.indices)
    marginals = [p.sum(axis=tuple(k for k in range(3) if k != axis), keepdims=True) for axis in range(3)]
    product = marginals[0] * marginals[1] * marginals[2]
    assert kept.total_correlation == pytest.approx(np.sum(p[p > 0] * np.log(p[p > 0] / product[p > 0])))
    assert total_correlation(np.ones((3, 4), bool)) == pytest.approx(0, abs=1e-12)
    assert dependent_subset((3, 4, 5), 2, 0.0).total_correlation == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3, 4), 0), "num_blocks"),
        (((3, 4), 2, 1.5), "a number in .0, 1."),
        (((3, 4), 2, 1.0), "remove every combination"),
        (((3, 0), 2), "1 or more"),
        (((), 2), "one or more"),
    ],
)
def test_what_leaves_nothing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        dependent_subset(*arguments)
    with pytest.raises(InputError, match="remove every combination"):
        dependent(factor_data(), 2, 1.0)


def test_a_dependent_dataset_has_the_images_of_its_factors():
    whole = factor_data()
    part, kept = dependent(whole, 2, 0.3, seed=1)
    assert len(part.splits["train"]) == len(kept.indices) < 60 and part.factor_sizes == whole.factor_sizes
    np.testing.assert_array_equal(part.splits["train"], whole.splits["train"][kept.indices])
    np.testing.assert_array_equal(part.images(part.factors["train"]), whole.images(part.factors["train"]))
    missing = np.setdiff1d(np.arange(60), kept.indices)[:1]
    with pytest.raises(InputError, match="no training example"):
        part.images(grid_of((3, 4, 5))[missing])


def test_a_thinned_dataset_has_every_so_manieth_value():
    whole = factor_data()
    part = thinned(whole, {"b": 3, "c": 2})
    assert part.factor_sizes == (3, 2, 3) and len(part.splits["train"]) == 18
    factors = grid_of((3, 2, 3))
    np.testing.assert_array_equal(part.images(factors), whole.images(factors * [1, 3, 2]))
    for strides, message in (({"d": 2}, "the factors a, b, c, got 'd'"), ({"a": 0}, "1 or more")):
        with pytest.raises(InputError, match=message):
            thinned(whole, strides)
    plain = ImageData("plain", "v", "s", {"train": whole.splits["train"]}, limits=(0, 1))
    with pytest.raises(InputError, match="no factors of variation"):
        thinned(plain, {"a": 2})


def test_dsprites_is_held_as_bits_when_it_is_thinned_or_dependent(real_data):
    whole = data.load("dsprites", real_data)
    assert whole.splits["train"].nbytes == 737_280 * 512
    part = thinned(whole, {"orientation": 10, "x": 8, "y": 8})
    assert part.splits["train"].nbytes == 3 * 6 * 4 * 4 * 4 * 512
    factors = np.array([[2, 5, 3, 3, 1], [0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(part.images(factors), whole.images(factors * [1, 1, 10, 8, 8]))
    few, kept = dependent(whole)
    assert len(few.splits["train"]) == len(kept.indices) == 104_960


def model(channel):
    keras.utils.set_random_seed(0)
    heads = ("tanh16", "log_sigmoid") if isinstance(channel, echo_tf.EchoSample) else ("linear", "linear")
    return echo_tf.RateDistortionAutoencoder(encoder(*heads), channel, decoder())


def test_images_are_encoded_once_and_when_they_are_asked_for():
    whole, echo, calls = factor_data(), model(echo_tf.EchoSample(num_terms=9)), []
    encoded = disentangle.Encoded(whole, lambda images: calls.append(len(images)) or echo.encode(images), batch_size=7)
    factors = grid_of((3, 4, 5))[[5, 9, 5, 30]]
    heads = encoded.encode(encoded.images(factors))
    np.testing.assert_allclose(heads[0], echo.encode(whole.images(factors))[0], atol=1e-6)
    assert sum(calls) == 3
    assert encoded.grid()[1].shape == (3, 4, 5, D) and sum(calls) == 60 and max(calls) <= 7


def pure(images):
    """[loc, log_sigmoid] of a code whose first dimension is a function of the first factor alone."""
    a, b = images[:, 0] / 3, images[:, 1] / 4
    return [np.stack([a, b, b], 1).astype("float32"), np.log(np.stack([0.3 + 0.3 * x for x in (a, b, a)], 1)).astype("float32")]


def test_noise_of_the_very_group_leaks_the_fixed_factor_and_noise_of_others_does_not():
    """facts G: the local variance of a pure dimension is exactly 0 with in-batch noise."""
    echo = model(echo_tf.EchoSample(num_terms=15))
    group = np.stack([np.full(16, 2.0), np.random.default_rng(0).integers(0, 4, 16)], axis=1)
    donors = pure(np.random.default_rng(1).integers(0, 4, (500, 2)).astype(float))
    variances = {}
    for kind in disentangle.REPRESENTATIONS:
        codes = representation(echo, kind, encode=pure, donors=donors)(group)
        variances[kind] = codes.var(axis=0)
    assert variances["mean"][0] == pytest.approx(0, abs=1e-12)
    assert variances["released"][0] == pytest.approx(0, abs=1e-12) and variances["released"][1] > 1e-3
    assert variances["sampled"][0] > 1e-3


@pytest.mark.parametrize("size", [1, 2, 16])
def test_noise_of_donors_has_its_law_however_small_the_group(size):
    """Of one dimension and a constant scale s the variance of z is that of f over 1 - s^2."""
    echo, scale = model(echo_tf.EchoSample(num_terms=60, clip=0.999)), 0.8
    rng = np.random.default_rng(0)

    def heads(x):
        loc = np.asarray(x, np.float32)[:, :1]
        return [loc, np.full_like(loc, np.log(scale / 0.999))]

    donors = heads(rng.normal(size=(4000, 1)))
    codes = representation(echo, "sampled", encode=heads, donors=donors).of_groups(rng.normal(size=(12_000 // size, size, 1)))
    assert codes.var() == pytest.approx(donors[0].var() / (1 - scale**2), rel=0.1)


def test_the_clip_is_in_the_scale_of_an_image_and_of_its_donors():
    def heads(x):
        return [np.full((len(x), 1), 3.0, "float32"), np.full((len(x), 1), np.log(0.2), "float32")]

    donors = [np.ones((50, 1), "float32"), np.full((50, 1), np.log(0.8), "float32")]  # all alike: their noise is a number
    expected = 3 + 0.1 * (1 + 0.4 + 0.4**2)
    for multiplicative in (False, True):
        echo = model(echo_tf.EchoSample(num_terms=3, clip=0.5, multiplicative=multiplicative))
        codes = representation(echo, "sampled", encode=heads, donors=donors)(np.zeros((4, 12)))
        np.testing.assert_allclose(codes, np.exp(expected) if multiplicative else expected, rtol=1e-5)


def test_groups_at_once_are_encoded_apart_from_each_other():
    echo = model(echo_tf.EchoSample(num_terms=15, standardize=True))
    groups = np.random.default_rng(0).integers(0, 4, (3, 16, 2)).astype(float)
    groups[1, :, 0] = 1.0
    codes = representation(echo, "released", encode=pure).of_groups(groups)
    assert codes.shape == (3, 16, 3) and codes[1, :, 0].std() < 1e-6 < codes[0, :, 0].std()
    # the law of the channel: the mean of z over many groups is that of its own samples
    many = np.random.default_rng(1).integers(0, 4, (400, 16, 2)).astype(float)
    mine = representation(echo, "released", encode=pure).of_groups(many).reshape(-1, 3)
    right = np.concatenate([np.asarray(echo.channel([np.asarray(h) for h in pure(group)])) for group in many])
    np.testing.assert_allclose(mine.mean(axis=0), right.mean(axis=0), atol=0.03)
    np.testing.assert_allclose(mine.std(axis=0), right.std(axis=0), rtol=0.05)


def test_a_gaussian_s_samples_have_its_law_whichever_protocol():
    vae = model(echo_tf.GaussianSample())
    images = np.zeros((4000, 12), "float32")
    encode = lambda x: [np.full((len(x), 1), 2.0, "float32"), np.full((len(x), 1), np.log(0.5), "float32")]  # noqa: E731
    for kind in ("sampled", "released"):
        codes = representation(vae, kind, encode=encode, seed=3)(images)
        assert (codes.mean(), codes.std()) == pytest.approx((2, 0.5), abs=0.03)
        np.testing.assert_array_equal(codes, representation(vae, kind, encode=encode, seed=3)(images))
    assert (representation(vae, "mean", encode=encode)(images) == 2).all()


def test_scores_of_a_model_are_those_of_its_encoded_dataset():
    whole, echo = factor_data(), model(echo_tf.EchoSample(num_terms=9))
    few = {"num_train": 40, "num_eval": 20, "num_variance": 100, "batch_size": 10}
    encoded = disentangle.Encoded(whole, echo.encode)
    for kind in ("mean", "released"):
        direct = factor_vae_score(representation(echo, kind), whole, **few)
        looked_up = factor_vae_score(representation(echo, kind, encoded.encode), encoded, **few)
        assert direct.score == pytest.approx(looked_up.score, abs=0.051)


@pytest.mark.parametrize(("kind", "message"), [("media", "kind must be one of"), ("sampled", "give donors")])
def test_representations_that_cannot_be_are_refused(kind, message):
    with pytest.raises(ValueError, match=message):
        representation(model(echo_tf.EchoSample(num_terms=9)), kind)
