"""The rate-distortion autoencoder: encoder, channel, marginal and decoder under one loss.

    x --encoder--> encodings (loc, log_scale) --channel--> code z --decoder--> output
                        |                                              |
                 rate (nats)                                      distortion

    loss = E[distortion + beta * rate] + penalties            (Echo paper, equation 8)

At beta = 1, without penalties and with a distortion that is a likelihood, the loss is -ELBO, a bound on -log p(x)
(equation 7).
"""

import inspect

import keras
import numpy as np
from keras import ops

from echo_tf import arguments, inputs
from echo_tf.distortions import distortion_of
from echo_tf.guards import by_keyword, forget_compiled, jit_unless_on_cpu, num_replicas, plain_errors, refuse_half_weights
from echo_tf.heads import outputs_of
from echo_tf.marginals import StandardNormal
from echo_tf.parts import check_parts

TERMS = ("code", "rate", "distortion", "reconstruction")


@keras.saving.register_keras_serializable(package="echo_tf")
class RateDistortionAutoencoder(keras.Model):
    """Lossy compression with a learned code, trained by its rate and its distortion.

    Reference: Brekelmans et al., "Exact Rate-Distortion in Autoencoders via Echo Noise", NeurIPS 2019,
    section 3; Alemi et al., "Fixing a Broken ELBO", ICML 2018.

    Args:
        encoder: Keras model, x (B, ...) -> [loc, log_scale], both (B, ..., d), its heads ending in the channel's
            `head_activations`.
        channel: `EchoSample`, `GaussianSample`, ...
        decoder: Keras model, code (B, ..., d) -> output of the shape of x (logits for "bernoulli").
        marginal: the density p(z) that the rate is measured against. None: the standard normal for a
            channel that needs one. Echo's rate is exact and takes none.
        distortion: "bernoulli" (x in [0, 1]; the decoder gives logits), "gaussian" (a density with one learned variance; a
            fixed one: `Gaussian(variance=...)`), "squared_error" (no likelihood), another `Distortion`, or a function
            (x, output) -> (B,).
        beta: weight of the rate. `model.beta` is a variable, which may be changed in training:
            `model.beta = 0.5`, or `BetaWarmup`.
        penalties: layers, code -> scalar, added to the loss. One with a name `reports` has value / weight reported under it.

    Call arguments:
        x: examples (B, ...).

    Returns (of a call): a dict of named terms, each with the batch in front:
        "code" z (B, ..., d); "rate" in nats per example and "distortion" in its own unit (nats for a likelihood), both
        (B,); "reconstruction", the mean of p(x|z).

    `compile`, `fit`, `evaluate`, `predict` and `save` work as in any Keras model, on x alone. `fit` and
    `evaluate` report "rate", "distortion" and "loss", and "neg_elbo" (rate + distortion) if the distortion is a likelihood.

    Echo takes its noise from the rest of the batch, so batches must be random draws from the data:
    `sample`, `rate`, `distortion` and `reconstruct` visit the examples in a fixed random order for that reason.
    Keras's own `evaluate` and `predict` do not: shuffle data that are sorted by class. Under a `tf.distribute` strategy
    the noise of a replica comes from its own part of the batch.

    Raises:
        ValueError: for parts that do not fit together; and, before the first step, for examples out of the range of distortion
            or decoder (arrays as a whole, batches by their first), sample weights, a dataset without an end, weights of half
            precision, and training batches too small for a part (of batches of unknown number, a last one when it comes).
    """

    def __init__(self, encoder, channel, decoder, marginal=None, distortion="bernoulli", beta=1.0, penalties=(), **kwargs):
        super().__init__(**{"autocast": False, **kwargs})  # in half precision x itself stays what it is, for the distortion
        check_parts(encoder, channel, decoder, marginal, penalties)
        needs_marginal = getattr(channel, "needs_marginal", False)
        self.encoder, self.channel, self.decoder = encoder, channel, decoder
        self.marginal = StandardNormal() if marginal is None and needs_marginal else marginal
        self.penalties = list(penalties)
        self.measure_of_distortion = distortion_of(distortion)
        for output in outputs_of(decoder):
            self.measure_of_distortion.check_head(output)
        if hasattr(channel, "check_heads") and len(outputs_of(encoder)) == 2:
            channel.check_heads(*outputs_of(encoder))
        # every replica of a strategy has the same beta
        initial = keras.initializers.Constant(arguments.number("beta", beta))
        self._beta = self.add_weight((), initial, trainable=False, name="beta", aggregation="only_first_replica")
        names = ["rate", "distortion"] + ["neg_elbo"] * self.measure_of_distortion.is_likelihood
        self._trackers = [keras.metrics.Mean(name=name) for name in names]
        self._reporting = [penalty for penalty in self.penalties if hasattr(penalty, "reports") and penalty.weight]
        self._reports = [keras.metrics.Mean(name=penalty.reports) for penalty in self._reporting]
        input_shape = getattr(encoder, "input_shape", None) if outputs_of(encoder) else None
        if isinstance(input_shape, tuple):
            self.build(input_shape)

    @property
    def beta(self):
        """The weight of the rate, a variable: `float(model.beta)` is its value; `model.beta = 0.5` sets it, in training too."""
        self._take_back_state()
        return self._beta

    @beta.setter
    def beta(self, value):
        number = arguments.number("beta", value)
        self._take_back_state()
        self._beta.assign(number)

    def _take_back_state(self):
        """Within an epoch of `fit`, JAX's trainer holds the values of all variables."""
        if keras.backend.backend() == "jax" and getattr(self, "_jax_state", None):
            self.jax_state_sync()

    def build(self, input_shape):
        if self.built:
            return
        shapes = self.encoder.compute_output_shape(tuple(input_shape))
        if not isinstance(shapes, (list, tuple)) or len(shapes) != 2 or not all(isinstance(s, (list, tuple)) for s in shapes):
            raise ValueError(f"the encoder must give two outputs, [loc, log_scale], got the shape(s) {shapes}.")
        loc_shape, log_scale_shape = shapes
        layers = [(self.channel, [loc_shape, log_scale_shape]), *((penalty, loc_shape) for penalty in self.penalties)]
        layers.append((self.marginal, input_shape if getattr(self.marginal, "of_examples", False) else loc_shape))
        for layer, shape in layers:
            if layer is not None and not layer.built:  # parts of a loaded model are built already
                layer.build(shape)
        self.measure_of_distortion.build(tuple(input_shape), tuple(self.decoder.compute_output_shape(tuple(loc_shape))))

    def call(self, x, training=False):
        encodings = self.encoder(x, training=training)
        return self._terms(x, encodings, training)

    def _terms(self, x, encodings, training):
        draw = self.channel.draw(encodings, training)
        rate = self.channel.rate(encodings, *self._given(draw))
        return {"code": draw.code, "rate": rate, **self._decode(x, draw, training)}

    def log_weights(self, x, encodings):
        """log p(x|z) p(z) / q(z|x) at one code drawn from each of the encodings, (B,), in nats; not for Echo."""
        draw = self.channel.draw(encodings)
        return -self._decode(x, draw)["distortion"] - self.channel.log_ratio(encodings, *self._given(draw))

    def _given(self, draw):
        """What a rate is measured with besides the encodings: nothing, or a draw and the marginal's density."""
        return () if self.marginal is None else (draw, self.marginal.given(self.encoder))

    def _decode(self, x, draw, training=False):
        measure = self.measure_of_distortion
        output = self.decoder(draw.code, training=training)
        return {"distortion": measure(x, output), "reconstruction": measure.reconstruct(output)}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        inputs.refuse_weights(sample_weight)
        rate, distortion = y_pred["rate"], y_pred["distortion"]
        for tracker, value in zip(self._trackers, (rate, distortion, rate + distortion)):
            tracker.update_state(value)
        loss = ops.mean(distortion + ops.cast(self._beta, rate.dtype) * rate)
        for penalty in self.penalties:
            value = penalty(y_pred["code"], **({"training": training} if _takes_training(penalty) else {}))
            loss = loss + value
            if penalty in self._reporting:
                self._reports[self._reporting.index(penalty)].update_state(value / penalty.weight)
        loss = loss + sum(self.losses)  # regularizers of the parts, and what they add
        return loss / num_replicas()  # gradients of replicas are added up

    def compile(self, optimizer="adam", *others, jit_compile=None, loss=None, **kwargs):
        """As `keras.Model.compile`, without a loss, and with all but the optimizer by keyword. jit_compile None: no XLA for
        TensorFlow on a CPU, else Keras's choice.

        XLA's CPU convolutions took 2.5 times oneDNN's time on the paper's network.
        """
        by_keyword(others, loss, "the loss is distortion + beta * rate, set where the model is made")
        refuse_half_weights(self.dtype_policy)
        super().compile(optimizer=optimizer, jit_compile=jit_unless_on_cpu(jit_compile), **kwargs)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """Trains on x, arguments as `keras.Model.fit`; y, if given, is ignored."""
        kwargs = inspect.signature(keras.Model.fit).bind(self, x, y, batch_size, *args, **kwargs).arguments
        for name in ("self", "x", "y", "batch_size"):
            kwargs.pop(name)
        for name in ("sample_weight", "class_weight"):
            inputs.refuse_weights(kwargs.get(name), name)
        inputs.refuse_endless(x, kwargs.get("steps_per_epoch"), "steps_per_epoch")
        number = inputs.number_of(x)
        split = kwargs.get("validation_split") or 0.0
        validation = kwargs.get("validation_data")
        if validation is not None:
            held_out = inputs.examples_of(validation) if isinstance(validation, tuple) else validation
            inputs.refuse_endless(held_out, kwargs.get("validation_steps"), "validation_steps")
            _, kwargs["validation_data"] = self._checked(held_out, batch_size)
            number_held_out = inputs.number_of(held_out)
        elif number is not None and split:
            number, number_held_out = int(number * (1.0 - split)), number - int(number * (1.0 - split))
        else:
            number_held_out = None
        first, x = self._checked(x, batch_size)
        self.check_batches(len(first) if number is None else batch_size or 32, number)
        if number is None:
            x = inputs.without_short(x, *self._smallest_batch())
        if number_held_out is not None:
            size = kwargs.get("validation_batch_size") or batch_size or 32
            kwargs["validation_batch_size"] = inputs.split_evenly(number_held_out, size)
        with plain_errors():
            return super().fit(x, y, batch_size, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, **kwargs):
        """The metrics on x, arguments as `keras.Model.evaluate`; y, if given, is ignored. No batch is of one example alone."""
        inputs.refuse_weights(kwargs.get("sample_weight"))
        inputs.refuse_endless(x, kwargs.get("steps"), "steps")
        if not kwargs.get("_use_cached_eval_dataset"):  # of `fit`, which has checked it
            batch_size = self._even(x, batch_size)
            _, x = self._checked(x, batch_size)
        with plain_errors():
            return super().evaluate(x, y, batch_size, **kwargs)

    def predict(self, x, batch_size=None, **kwargs):
        """Reconstructions of x, the mean of p(x|z), in the order of x; arguments as `keras.Model.predict`."""
        inputs.refuse_endless(x, kwargs.get("steps"), "steps")
        batch_size = self._even(x, batch_size)
        _, x = self._checked(x, batch_size)
        with plain_errors():
            return super().predict(x, batch_size, **kwargs)["reconstruction"]

    def _even(self, x, batch_size):
        number = inputs.number_of(x)
        return batch_size if number is None else inputs.split_evenly(number, batch_size or 32)

    def _checked(self, x, batch_size=None):
        """The first examples, and x as `fit` and its like are to have it, looked at: arrays whole, batches by their first; and
        what the encoder makes of the first, for a compiled step may be unable to refuse it."""
        first, x = inputs.first_batch(x, batch_size)
        inputs.check(np.asarray(x) if inputs.is_array(x) else first, *self._ranges)
        if hasattr(self.channel, "check_encodings"):
            self.channel.check_encodings(self.encoder(np.asarray(first, keras.config.floatx()), training=False))
        return first, x

    @property
    def _ranges(self):
        """(lowest, highest) that the distortion takes, and that the decoder's output can meet; None without bounds."""
        output = next(iter(outputs_of(self.decoder)), None)
        return self.measure_of_distortion.limits, None if output is None else self.measure_of_distortion.range_of(output)

    def check_batches(self, batch_size, number=None):
        """Raises ValueError for training batches (of `number` examples) that are too small for a part of the model, or whose
        last is; warns of those that are small for the channel."""
        inputs.check_batches(number, batch_size, *self._smallest_batch())
        if hasattr(self.channel, "check_training"):
            self.channel.check_training(min(batch_size, number or batch_size))

    def _smallest_batch(self):
        """How many examples a training batch must have, and for what part of the model."""
        smallest = {part: getattr(part, "smallest_batch", 1) for part in (self.channel, *self.penalties)}
        part = max(smallest, key=smallest.get)
        return smallest[part], type(part).__name__

    def train_on_batch(self, x, *args, **kwargs):
        """As `keras.Model.train_on_batch`, but a batch too small for a part of the model is refused."""
        self.check_batches(len(x))
        return super().train_on_batch(x, *args, **kwargs)

    def encode(self, x, batch_size=100):
        """The encodings [loc, log_scale] of x, numpy arrays (n, ..., d): what the channel and its `adapt` take."""
        x, batch_size = self._all(x), arguments.integer("batch_size", batch_size)
        parts = [self.encoder.predict_on_batch(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        return [np.concatenate(head) for head in zip(*parts)]

    def _all(self, x):
        return inputs.as_array(x, *self._ranges)

    def measure(self, x, names, batch_size=100, on_batch=None):
        """The named terms of a call for every example of x, as numpy arrays in the order of x.

        Examples are visited in a fixed random order, in batches of near-equal size, none left out.

        Args:
            x: examples (n, ...), in any form that `fit` takes (batches are gathered in memory).
            names: a list out of `TERMS`.
            batch_size: the largest batch.
            on_batch: called with each batch's size when it is done (for a progress bar).

        Raises:
            ValueError: for examples out of the distortion's range, another name, or a batch size below 1.
        """
        for name in names:
            arguments.choice("each of names", name, TERMS)
        x, batch_size = self._all(x), arguments.integer("batch_size", batch_size)
        order = np.random.default_rng(0).permutation(len(x))
        found = {name: [] for name in names}
        for rows in np.array_split(order, inputs.number_of_batches(len(x), batch_size)):
            with plain_errors():
                terms = self.predict_on_batch(x[rows])
            for name in names:
                found[name].append(terms[name])
            if on_batch is not None:
                on_batch(len(rows))
        back = np.argsort(order)
        return {name: np.concatenate(parts)[back] for name, parts in found.items()}

    def sample(self, x, batch_size=100):
        """One code drawn for each example, (n, ..., d)."""
        return self.measure(x, ["code"], batch_size)["code"]

    def rate(self, x, batch_size=100):
        """The rate of each example in nats, (n,). Echo's is pointwise: its mean is I(X; Z); see `EchoSample.rate`."""
        return self.measure(x, ["rate"], batch_size)["rate"]

    def distortion(self, x, batch_size=100):
        """The distortion of each example in the distortion's unit (nats for a likelihood), one code drawn, (n,)."""
        return self.measure(x, ["distortion"], batch_size)["distortion"]

    def reconstruct(self, x, num_samples=1, batch_size=100):
        """The reconstruction of each example, of the shape of x: the average over `num_samples` codes, or for 0 the
        decoding of the mean E[z|x], the same every time."""
        num_samples, x = arguments.integer("num_samples", num_samples, 0), self._all(x)
        if num_samples:
            draws = (self.measure(x, ["reconstruction"], batch_size)["reconstruction"] for _ in range(num_samples))
            return sum(draws) / num_samples
        code = ops.convert_to_numpy(self.channel.mean(self.encode(x, batch_size)))
        outputs = [self.decoder.predict_on_batch(code[i : i + batch_size]) for i in range(0, len(code), batch_size)]
        return ops.convert_to_numpy(self.measure_of_distortion.reconstruct(ops.convert_to_tensor(np.concatenate(outputs))))

    def generate(self, n):
        """n examples decoded from codes of the marginal: p(z), or Echo's own q(z), for which `adapt` comes first."""
        arguments.integer("n", n)
        if self.marginal is None:
            code = self.channel.sample_marginal(n)
        else:
            code = self.channel.generate(n, self.marginal.given(self.encoder))
        return ops.convert_to_numpy(self.measure_of_distortion.reconstruct(self.decoder(code)))

    def adapt(self, x, batch_size=100):
        """Lets an Echo channel keep the encodings of training examples x as its pool of donors.

        Raises:
            ValueError: for another channel.
        """
        if not hasattr(self.channel, "adapt"):
            raise ValueError(f"adapt is for an Echo channel, whose donors it keeps; {type(self.channel).__name__} has none.")
        self.channel.adapt(self.encode(x, batch_size))
        forget_compiled(self)

    def count_params(self):
        """The number of parameters of all parts; beta and what an Echo layer has measured are none."""
        parts = (self.encoder, self.channel, self.decoder, self.marginal, self.measure_of_distortion, *self.penalties)
        return sum(part.count_params() for part in parts if part is not None)

    def get_config(self):
        parts = {name: getattr(self, name) for name in ("encoder", "channel", "decoder", "marginal")}
        parts["distortion"] = self.measure_of_distortion
        return {
            **super().get_config(),
            **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()},
            "penalties": [keras.saving.serialize_keras_object(p) for p in self.penalties],
            "beta": float(ops.convert_to_numpy(self._beta)),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("encoder", "channel", "decoder", "marginal", "distortion"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        config["penalties"] = [keras.saving.deserialize_keras_object(p) for p in config["penalties"]]
        return cls(**config)


def _takes_training(layer):
    return "training" in inspect.signature(layer.call).parameters
