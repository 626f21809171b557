"""What would come out wrong in silence is refused, in one line, before the first step."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import ops

import echo_tf
from echo_tf import (
    Bernoulli,
    ConvFromPoint,
    ConvToImage,
    ConvToPoint,
    ConvTransposeToImage,
    EchoSample,
    GaussianSample,
    RateDistortionAutoencoder,
    TotalCorrelation,
    echo_noise,
)
from tests.small_models import WIDTH, D, autoencoder, bars, decoder, encoder


class Batches(keras.utils.PyDataset):
    def __init__(self, x, size=10, weights=None):
        super().__init__()
        self.x, self.size, self.weights = x, size, weights

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, index):
        rows = self.x[index * self.size : (index + 1) * self.size]
        return (rows,) if self.weights is None else (rows, rows, self.weights)


def as_dataset(x, size=10):
    return tf.data.Dataset.from_tensor_slices(x).batch(size)


FORMS = {
    "array": lambda x: x,
    "tensor": tf.constant,
    "dataset": as_dataset,
    "PyDataset": Batches,
    "generator": lambda x: ((row,) for row in np.array_split(x, len(x) // 10)),
    "DataFrame": pd.DataFrame,
}


def one_line(error, *words):
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in words), message


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x: 255 * x, ["from 0 to 255", "divide by 255"]),
        (lambda x: (255 * x).astype("uint8"), ["from 0 to 255"]),
        (lambda x: 2 * x - 1, ["between 0 and 1", "from -1 to 1"]),
        (lambda x: np.where(x > 0, np.nan, x), ["NaN"]),
    ],
)
def test_images_out_of_range_are_refused_in_every_form(form, spoil, words):
    model = autoencoder()
    before = [w.copy() for w in model.get_weights()]
    data = spoil(bars()).astype("float32") if form == "DataFrame" else spoil(bars())
    for method in (model.fit, model.evaluate, model.rate):
        with pytest.raises(ValueError) as error:
            method(FORMS[form](data), **({} if method == model.rate else {"verbose": 0}))
        one_line(error, *words)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("spoiled", [np.nan, 3.0])
def test_a_single_bad_value_in_an_array_is_found(spoiled):
    x = bars()
    x[37, 5] = spoiled
    with pytest.raises(ValueError, match="expected examples"):
        autoencoder().fit(x, batch_size=10, verbose=0)


def test_a_likelihood_of_real_numbers_takes_them():
    model = autoencoder(distortion="gaussian")
    model.fit(5 * bars() - 2, batch_size=10, verbose=0)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "relu", "tanh", "hard_sigmoid"])
def test_a_decoder_that_gives_no_logits_is_refused(activation):
    with pytest.raises(ValueError) as error:
        RateDistortionAutoencoder(encoder(), EchoSample(), decoder(activation))
    one_line(error, repr(activation), "logits", "from_logits=False")


def test_it_is_seen_through_a_reshape_a_nested_model_and_an_operation():
    z = keras.Input((D,))
    nested = keras.Model(z, keras.layers.Reshape((WIDTH,))(decoder("sigmoid")(z)))
    applied = keras.Model(z, ops.sigmoid(keras.layers.Dense(WIDTH)(z)))
    activated = keras.Sequential([keras.Input((D,)), keras.layers.Dense(WIDTH), keras.layers.Activation("sigmoid")])
    for model in (nested, applied, activated):
        with pytest.raises(ValueError, match="'sigmoid'"):
            RateDistortionAutoencoder(encoder(), EchoSample(), model)


def test_probabilities_are_taken_where_the_user_says_so():
    model = RateDistortionAutoencoder(encoder(), EchoSample(), decoder("sigmoid"), distortion=Bernoulli(from_logits=False))
    x = bars()
    terms = model(x)
    p = np.clip(ops.convert_to_numpy(model.decoder(terms["code"])), 1e-7, 1 - 1e-7)
    np.testing.assert_allclose(terms["distortion"], -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1), rtol=1e-4)
    np.testing.assert_allclose(terms["reconstruction"], p, atol=1e-6)
    with pytest.raises(ValueError, match="takes probabilities"):
        RateDistortionAutoencoder(encoder(), EchoSample(), decoder(), distortion=Bernoulli(from_logits=False))


@pytest.mark.parametrize("width", [1, 3 * WIDTH])
def test_outputs_that_would_be_broadcast_are_refused_when_built(width):
    with pytest.raises(ValueError) as error:
        RateDistortionAutoencoder(encoder(), EchoSample(), decoder(width=width))
    one_line(error, f"({WIDTH},)", f"({width},)")


def test_three_channels_on_one_channel_images_are_refused():
    x, z = keras.Input((4, 4, 1)), keras.Input((D,))
    heads = [keras.layers.Dense(D, activation=a)(keras.layers.Flatten()(x)) for a in (echo_tf.tanh16, "log_sigmoid")]
    colour = keras.Model(z, keras.layers.Reshape((4, 4, 3))(keras.layers.Dense(48)(z)))
    with pytest.raises(ValueError, match=r"\(4, 4, 1\).*\(4, 4, 3\)"):
        RateDistortionAutoencoder(keras.Model(x, heads), EchoSample(), colour)


@pytest.mark.parametrize("head", ["linear", "sigmoid", "softplus", "relu"])
def test_a_scale_head_that_may_be_above_0_is_refused_before_any_graph(head):
    with pytest.raises(ValueError) as error:
        RateDistortionAutoencoder(encoder(scale=head), EchoSample(), decoder())
    one_line(error, repr(head), "log_sigmoid")
    with pytest.raises(ValueError, match="log_sigmoid must be <= 0"):
        EchoSample()(encoder(scale=head).outputs)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_scale_above_0_of_unknown_origin_is_refused_before_the_first_step(jit_compile):
    x = keras.Input((WIDTH,))
    heads = [keras.layers.Dense(D, activation="tanh")(x), keras.layers.Dense(D)(x) + 5.0]
    model = RateDistortionAutoencoder(keras.Model(x, heads), EchoSample(), decoder())
    model.compile("adam", jit_compile=jit_compile)
    for method in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match="log_scale must be <= 0"):
            method(bars(), batch_size=10, verbose=0)


def test_a_loc_beyond_its_bound_is_noticed_once():
    with pytest.warns(UserWarning, match="'linear'.*tanh16"):
        model = RateDistortionAutoencoder(encoder(loc="linear"), EchoSample(num_terms=9), decoder())
    model.encoder.set_weights([30 * w for w in model.encoder.get_weights()])
    with pytest.warns(UserWarning, match=r"\|loc\| is up to"):
        model.adapt(bars())
    layer = EchoSample(max_magnitude=4.0)
    inputs = [np.full((5, 2), 3.9, "float32"), np.zeros((5, 2), "float32")]
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(inputs)
        model.adapt(bars())  # said already
        EchoSample(clip=0.5)([9 * inputs[0], inputs[1]])  # whoever gives the clip has thought of it


def test_batches_too_small_for_their_terms_are_noticed_once():
    inputs = [np.zeros((20, 2), "float32"), np.zeros((20, 2), "float32")]
    layer = EchoSample(num_terms=99)
    with pytest.warns(UserWarning, match="batches of 20 are small for 99 noise terms") as found:
        layer(inputs)
        layer(inputs)
    assert len(found) == 1
    with pytest.warns(UserWarning, match="batches of 5 are small"):
        autoencoder().fit(bars(), batch_size=5, verbose=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda model, x, w: model.fit(x, sample_weight=w, verbose=0),
        lambda model, x, w: model.fit(x, x, class_weight={0: 1.0}, verbose=0),
        lambda model, x, w: model.evaluate(x, x, sample_weight=w, verbose=0),
        lambda model, x, w: model.fit(tf.data.Dataset.from_tensor_slices((x, x, w)).batch(10), verbose=0),
        lambda model, x, w: model.fit(Batches(x, weights=w[:10]), verbose=0),
        lambda model, x, w: model.fit(iter([(x, x, w)]), verbose=0),
        lambda model, x, w: model.fit(x, validation_data=(x, x, w), verbose=0),
        lambda model, x, w: model.train_on_batch(x, x, sample_weight=w),
    ],
)
def test_weights_are_refused_in_every_form(call):
    model = autoencoder()
    with pytest.raises(ValueError, match="leave it out"):
        call(model, bars(), np.ones(40, "float32"))
    assert int(model.optimizer.iterations) == 0


def test_a_last_training_batch_of_one_is_said_before_the_first_step():
    model = autoencoder()
    with pytest.raises(ValueError) as error:
        model.fit(bars(41), batch_size=10, verbose=0)
    one_line(error, "41 examples in batches of 10", "batch_size=9")
    assert int(model.optimizer.iterations) == 0
    model.fit(bars(41), batch_size=9, verbose=0)
    with pytest.raises(ValueError, match="31 examples in batches of 10"):
        model.fit(bars(62), batch_size=10, validation_split=0.5, verbose=0)


class WithRest(Batches):
    def __len__(self):
        return -(-len(self.x) // self.size)


UNKNOWN_NUMBERS = {
    "dataset": as_dataset,
    "dataset of pairs": lambda x: as_dataset((x, x)),
    "PyDataset": WithRest,
    "generator": lambda x: ((x[i : i + 10],) for i in range(0, len(x), 10)),
}


@pytest.mark.parametrize("form", UNKNOWN_NUMBERS)
def test_a_last_batch_that_is_too_small_is_refused_before_its_step_under_xla_too(form):
    model = autoencoder(compiled=False)
    model.compile("adam", jit_compile=True)
    with pytest.raises(ValueError) as error:
        model.fit(UNKNOWN_NUMBERS[form](bars(11)), verbose=0)
    one_line(error, "EchoSample needs 2 examples or more", "drop_remainder")
    assert int(model.optimizer.iterations) <= 1  # Keras reads some kinds of batches ahead
    assert all(np.isfinite(w).all() for w in model.get_weights())
    with pytest.raises(ValueError, match="batches of 1 are too small"):
        model.train_on_batch(bars(1))


def test_a_code_is_permuted_in_batches_of_as_many_examples_as_it_has_dimensions_or_none():
    model = autoencoder(GaussianSample(seed=0), penalties=[TotalCorrelation(1.0, units=(4,))])
    for attempt, words in (
        (lambda: model.fit(bars(22), batch_size=10, verbose=0), ["a last batch of 2", "3 examples or more", "batch_size=9"]),
        (lambda: model.fit(bars(22), batch_size=2, verbose=0), ["batches of 2 are too small", "take batch_size=22"]),
        (lambda: model.fit(as_dataset(bars(22)), verbose=0), ["TotalCorrelation needs 3", "drop_remainder"]),
    ):
        with pytest.raises(ValueError) as error:
            attempt()
        one_line(error, *words)
    model.fit(bars(23), batch_size=10, verbose=0)


@pytest.mark.parametrize(
    ("activation", "distortion", "low", "high", "words"),
    [
        ("sigmoid", "gaussian", 0, 255, ["from 0 to 255", "lies in 0..1", "divide by 255"]),
        ("sigmoid", "squared_error", -3, 4, ["from -3 to 4", "lies in 0..1"]),
        ("hard_sigmoid", "squared_error", 0, 2, ["lies in 0..1"]),
        ("relu", "squared_error", -1, 0, ["expected examples of 0 or more", "from -1"]),
        ("tanh", "squared_error", 0, 1, ["none below 0", "lies in -1..1"]),
        ("tanh", "gaussian", 0, 255, ["lies in -1..1", "divide by 127.5 and subtract 1"]),
    ],
)
def test_examples_that_the_decoder_cannot_give_are_refused(activation, distortion, low, high, words):
    model = RateDistortionAutoencoder(encoder(), EchoSample(num_terms=9), decoder(activation), distortion=distortion)
    model.compile()
    x = low + (high - low) * bars(20)
    for form in ("array", "dataset", "generator"):
        for method, more in ((model.fit, {"verbose": 0}), (model.evaluate, {"verbose": 0}), (model.rate, {})):
            with pytest.raises(ValueError) as error:
                method(FORMS[form](x), **more)
            one_line(error, *words)
    fitting = {"sigmoid": bars(20), "hard_sigmoid": bars(20), "relu": 7 * bars(20), "tanh": 2 * bars(20) - 1}[activation]
    assert model.rate(fitting).shape == (20,)


def test_what_a_function_holds_an_output_against_is_its_own_affair():
    half_of = keras.saving.register_keras_serializable("test")(lambda x, output: ops.sum(ops.square(x / 2 - output), 1))
    model = RateDistortionAutoencoder(encoder(), EchoSample(num_terms=9), decoder("sigmoid"), distortion=half_of)
    assert model.rate(2 * bars(20)).shape == (20,)


def test_a_dataset_that_repeats_for_ever_is_refused_where_it_would_be_read_to_its_end():
    model, x = autoencoder(), as_dataset(bars(20)).repeat()
    for method in (model.rate, model.distortion, model.sample, model.encode, model.reconstruct, model.adapt):
        with pytest.raises(ValueError) as error:
            method(x)
        one_line(error, "repeats for ever", "leave repeat() out")
    for call, name in (
        (lambda **steps: model.fit(x, verbose=0, **steps), "steps_per_epoch"),
        (lambda **steps: model.fit(bars(20), validation_data=x, verbose=0, **steps), "validation_steps"),
        (lambda **steps: model.evaluate(x, verbose=0, **steps), "steps"),
        (lambda **steps: model.predict(x, verbose=0, **steps), "steps"),
    ):
        with pytest.raises(ValueError, match=f"or give {name}"):
            call()
        call(**{name: 2})


def test_all_but_the_optimizer_is_given_by_keyword():
    model = autoencoder()
    with pytest.raises(TypeError, match="got 'mse' behind it: the loss is distortion"):
        model.compile("adam", "mse")
    assert model.jit_compile is False


def test_elsewhere_a_last_batch_of_one_works():
    model = autoencoder()
    x = bars(41)
    model.fit(x[:40], batch_size=10, validation_data=(x, x), epochs=2, verbose=0)
    model.fit(x[:40], batch_size=10, validation_data=x[:31], verbose=0)
    assert np.isfinite(model.evaluate(x, batch_size=10, verbose=0)).all()
    assert model.predict(x, batch_size=10, verbose=0).shape == x.shape
    assert model.predict(x[:3], batch_size=2, verbose=0).shape == (3, WIDTH)
    for number in (2, 3, 11, 41):
        assert model.rate(x[:number], batch_size=2).shape == (number,)
    with pytest.raises(ValueError, match="adapt"):
        model.rate(x[:1])
    model.adapt(x)
    assert model.rate(x[:1]).shape == (1,)
    model.fit(x[:40], batch_size=10, verbose=0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: RateDistortionAutoencoder(1, 2, 3), ["encoder must be", "got 1"]),
        (lambda: RateDistortionAutoencoder(encoder(), 2, decoder()), ["channel must be"]),
        (lambda: RateDistortionAutoencoder(encoder(), EchoSample(), "x"), ["decoder must be"]),
        (lambda: RateDistortionAutoencoder(three_outputs(), EchoSample(), decoder()), ["two outputs", "3"]),
        (lambda: autoencoder().fit(np.zeros((0, WIDTH))), ["(0, 12)"]),
        (lambda: autoencoder().rate(np.zeros(5)), ["(5,)"]),
        (lambda: autoencoder().fit(bars().astype(str)), ["dtype"]),
        (lambda: autoencoder().fit(tf.data.Dataset.from_tensors({"image": bars(), "label": 1})), ["'image'", "map"]),
        (lambda: autoencoder(distortion=3), ["distortion must be"]),
        (lambda: autoencoder(distortion="gaussien"), ["bernoulli, gaussian, squared_error"]),
        (lambda: setattr(autoencoder(), "beta", -1), ["beta"]),
        (lambda: echo_noise(np.zeros((4, 2)), np.zeros((4, 2)), indices=[1, 2]), ["indices", "(2,)"]),
        (lambda: echo_noise(np.zeros((4, 2)), np.zeros((4, 2)), indices=[[1.0, 2.0]]), ["indices", "float"]),
        (lambda: echo_noise(np.zeros((4, 2), int), np.zeros((4, 2), int)), ["floating-point", "int"]),
        (lambda: echo_noise(np.zeros((0, 2)), np.zeros((0, 2))), ["(0, 2)"]),
        (lambda: echo_noise(0.5, -0.5), ["()"]),
        (lambda: EchoSample().rate(np.zeros((4, 2))), ["two tensors"]),
        (lambda: EchoSample().adapt(np.zeros((4, 2))), ["two tensors"]),
        (lambda: built(2).adapt([np.zeros((5, 3), "float32")] * 2), ["(2,)", "(3,)"]),
        (lambda: ConvToPoint(4, 3, groups=2)(np.zeros((1, 3, 3, 2))), ["groups"]),
        (lambda: ConvToPoint(4, 3, data_format="channels_first")(np.zeros((1, 2, 3, 3))), ["channels_last"]),
        (lambda: ConvToPoint(4, 3, dilation_rate=2)(np.zeros((1, 3, 3, 2))), ["dilation_rate"]),
        (lambda: ConvToPoint(4, 3, strides=2)(np.zeros((1, 3, 3, 2))), ["strides"]),
        (lambda: ConvToImage(1, 3)(np.zeros((1, 3, 3, 2))), ["padding", "same", "valid"]),
        (lambda: ConvToImage(1, 3, strides=2, padding="same")(np.zeros((1, 3, 3, 2))), ["strides", "(2, 2)"]),
        (
            lambda: ConvTransposeToImage(1, 3, strides=4, padding="same")(np.zeros((1, 3, 3, 2))),
            ["strides", "(3, 3)", "(4, 4)"],
        ),
        (lambda: ConvFromPoint(4, 3, data_format="channels_first")(np.zeros((1, 2, 1, 1))), ["channels_last"]),
        (lambda: ConvFromPoint(4, 3, dilation_rate=2)(np.zeros((1, 1, 1, 2))), ["dilation_rate"]),
    ],
)
def test_bad_input_gets_one_clear_line(call, words):
    with pytest.raises(ValueError) as error:
        call()
    first = str(error.value).splitlines()[0]  # Keras adds lines of its own to what a layer's call raises
    assert all(word in str(error.value) for word in words), first


@pytest.mark.parametrize("inputs", [np.zeros((4, 2)), [np.array(0.5)] * 2, [np.zeros((0, 2))] * 2, [np.zeros((4, 2), int)] * 2])
def test_a_layer_called_with_anything_else_says_what_it_takes(inputs):
    with pytest.raises(ValueError, match="loc"):
        EchoSample()(inputs)


def three_outputs():
    x = keras.Input((WIDTH,))
    return keras.Model(x, [keras.layers.Dense(D)(x) for _ in range(3)])


def built(d):
    layer = EchoSample()
    layer([np.zeros((4, d), "float32"), np.zeros((4, d), "float32")])
    return layer


def test_a_step_that_is_refused_moves_no_weight():
    model = autoencoder()
    before = [w.copy() for w in model.get_weights()]
    one_each = as_dataset(bars(2), 2).concatenate(as_dataset(bars(1), 1)).skip(1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a batch of 1 has none"):
        keras.Model.fit(model, one_each, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    with pytest.raises(ValueError, match="take batch_size=2"):
        model.fit(bars(), batch_size=1, verbose=0)
    assert np.isfinite(model.fit(bars(), batch_size=10, verbose=0).history["loss"][0])


@pytest.mark.parametrize("shapes", [[(3, 1), (3, 4)], [(3, 4), (3, 1)]])
def test_heads_of_two_shapes_would_share_noise_or_be_counted_in_part(shapes):
    heads = [np.zeros(shape, "float32") for shape in shapes]
    for use in (echo_tf.GaussianSample(), echo_tf.GaussianSample().rate, echo_tf.GaussianSample().negative_entropy):
        with pytest.raises(ValueError, match="must have the same shape"):
            use(heads)
    with pytest.raises(ValueError, match="two tensors of one shape"):
        EchoSample()(keras.Input((8,)))


@pytest.mark.parametrize(
    "part, words",
    [
        ({"marginal": "normal"}, "marginal must be a layer"),
        ({"penalties": [lambda z: 0.0]}, "penalties must be a list of layers"),
        ({"beta": "1"}, "beta must be a finite number"),
    ],
)
def test_parts_that_are_no_parts_are_refused_in_one_line(part, words):
    with pytest.raises(ValueError, match=words):
        autoencoder(echo_tf.GaussianSample(), **part)
    with pytest.raises(ValueError, match="adapt is for an Echo channel"):
        autoencoder(echo_tf.GaussianSample()).adapt(bars())


def test_reconstructions_and_pools_that_cannot_be_are_refused():
    model = autoencoder()
    for number in (-1, 1.5):
        with pytest.raises(ValueError, match="num_samples must be an integer of 0 or more"):
            model.reconstruct(bars(), num_samples=number)
    with pytest.raises(ValueError, match="finite numbers"):
        EchoSample(num_terms=9).adapt([np.full((20, 4), np.nan, "float32"), -np.ones((20, 4), "float32")])


def test_a_layer_that_is_called_twice_reports_what_it_charges():
    echo = EchoSample(num_terms=9, beta=1.0, dtype="float64")
    inputs = [keras.Input((WIDTH,)) for _ in range(2)]
    loc, scale = keras.layers.Dense(D, echo_tf.tanh16), keras.layers.Dense(D, "log_sigmoid")
    codes = [echo([loc(x), scale(x)]) for x in inputs]
    model = keras.Model(inputs, 0.0 * keras.layers.Dense(1)(keras.layers.concatenate(codes)))
    model.compile("adam", "mse")
    found = model.evaluate([bars(), bars()], np.zeros((40, 1)), batch_size=10, return_dict=True, verbose=0)
    assert found["rate"] == pytest.approx(found["loss"], rel=1e-5)
