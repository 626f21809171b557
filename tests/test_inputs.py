"""What `fit` takes, every method takes: arrays, tensors, files, frames and batches."""

import h5py
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from echo_tf import EchoSample, GaussianSample, inputs
from tests.small_models import autoencoder, bars
from tests.test_refusals import FORMS, as_dataset


@pytest.fixture(scope="module")
def model():
    return autoencoder(GaussianSample(seed=0))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = h5py.File(tmp_path_factory.mktemp("data") / "x.h5", "w")
    return file.create_dataset("x", data=bars())


@pytest.mark.parametrize("form", [*FORMS, "h5py", "dataset of pairs"])
def test_every_method_takes_every_form_in_its_order(model, file, form):
    forms = {**FORMS, "h5py": lambda x: file, "dataset of pairs": lambda x: as_dataset((x, x))}
    x = bars()
    expected = model.encode(x)
    for mine, theirs in zip(model.encode(forms[form](x)), expected):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    np.testing.assert_allclose(model.rate(forms[form](x)), model.rate(x), rtol=1e-4, atol=1e-5)
    assert model.distortion(forms[form](x)).shape == (40,)
    assert model.sample(forms[form](x)).shape == (40, 3)
    assert model.reconstruct(forms[form](x)).shape == x.shape
    if form != "DataFrame":
        assert np.isfinite(model.evaluate(forms[form](x), verbose=0)).all()
    assert np.isfinite(model.fit(forms[form](x), verbose=0).history["loss"]).all()


def test_a_frame_trains_too(model):
    model.fit(pd.DataFrame(bars()), batch_size=10, validation_data=pd.DataFrame(bars()), verbose=0)


def test_a_pool_is_taken_from_batches_too():
    model = autoencoder()
    model.adapt(as_dataset(bars()))
    assert model.channel._pool[0].shape == (40, 3)


def test_the_decoding_of_the_mean_is_the_same_every_time_and_that_of_the_mean():
    vae = autoencoder(GaussianSample(seed=0))
    x = bars()
    logits = vae.decoder.predict(vae.encode(x)[0], verbose=0)
    np.testing.assert_allclose(vae.reconstruct(x, num_samples=0), 1 / (1 + np.exp(-logits)), rtol=1e-5)
    echo = autoencoder(EchoSample(num_terms=9, standardize=True))
    echo.fit(x, batch_size=10, epochs=3, verbose=0)
    one = echo.reconstruct(x, num_samples=0)
    np.testing.assert_array_equal(one, echo.reconstruct(x, num_samples=0))
    code = np.mean([echo.sample(x) for _ in range(60)], axis=0)
    expected = 1 / (1 + np.exp(-echo.decoder.predict(code, verbose=0)))
    assert np.abs(one - expected).mean() < 0.02
    with pytest.raises(ValueError, match="adapt"):
        echo.reconstruct(x[:1], num_samples=0)
    echo.adapt(x)
    np.testing.assert_allclose(echo.reconstruct(x[:1], num_samples=0), one[:1], atol=1e-5)


@pytest.mark.parametrize("number", range(1, 40))
@pytest.mark.parametrize("batch_size", [2, 3, 10])
def test_no_batch_is_of_one_alone(number, batch_size):
    size = inputs.split_evenly(number, batch_size)
    assert number == 1 or number % size != 1 or size == 1
    assert size <= batch_size or all(number % smaller == 1 for smaller in range(2, batch_size + 1))
    sizes = [len(part) for part in np.array_split(np.arange(number), inputs.number_of_batches(number, batch_size))]
    assert number == 1 or min(sizes) > 1


def test_a_generator_gives_its_first_batch_to_the_training_too():
    batches = [bars()[:10], bars()[10:20], bars()[20:30]]
    first, rest = inputs.first_batch(iter(batches), None)
    np.testing.assert_array_equal(first, batches[0])
    assert len(list(rest)) == 3


def test_weights_of_none_are_none():
    autoencoder().fit(tf.data.Dataset.from_tensors((bars(), bars())), verbose=0)
