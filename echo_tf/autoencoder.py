"""The rate-distortion autoencoder: encoder, channel, marginal and decoder under one loss.

    x --encoder--> encodings (loc, log_scale) --channel--> code z --decoder--> output
                        |                                              |
                 rate (nats)                                  distortion (nats)

    loss = E[distortion + beta * rate] + penalties            (Echo paper, equation 8)

At beta = 1 and without penalties the loss is -ELBO, a bound on -log p(x) (equation 7).
"""

import keras
import numpy as np
from keras import ops

from echo_tf.distortions import DISTORTIONS
from echo_tf.guards import on_tensorflow_cpu
from echo_tf.marginals import StandardNormal, VampPrior


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
        distortion: a name in `echo_tf.distortions.DISTORTIONS`.
        beta: weight of the rate.
        penalties: layers, code -> scalar, added to the loss.

    Call arguments:
        x: examples (B, ...), in [0, 1] for "bernoulli".

    Returns (of a call): a dict of named terms, each with the batch in front:
        "code" z (B, ..., d); "rate" and "distortion" (B,) in nats per example; "reconstruction", the mean of p(x|z).

    `compile`, `fit`, `evaluate`, `predict` and `save` work as in any Keras model, on x alone. `fit` and
    `evaluate` report "rate", "distortion", "neg_elbo" (their sum) and "loss", in nats per example.

    Echo takes its noise from the rest of the batch, so batches must be random draws from the data:
    `sample`, `rate`, `distortion` and `reconstruct` visit the examples in a fixed random order for that reason.
    Keras's own `evaluate` and `predict` do not: shuffle data that are sorted by class.
    """

    def __init__(self, encoder, channel, decoder, marginal=None, distortion="bernoulli", beta=1.0, penalties=(), **kwargs):
        super().__init__(**kwargs)
        needs_marginal = getattr(channel, "needs_marginal", False)
        if marginal is not None and not needs_marginal:
            raise ValueError(f"{type(channel).__name__} has an exact rate: leave marginal out, got {marginal!r}.")
        if getattr(channel, "beta", None) is not None:
            raise ValueError(f"beta belongs to the autoencoder: leave beta={channel.beta!r} out of {type(channel).__name__}.")
        if distortion not in DISTORTIONS:
            raise ValueError(f"distortion must be one of {', '.join(DISTORTIONS)}, got {distortion!r}.")
        if not beta >= 0:
            raise ValueError(f"beta must be 0 or more, got {beta!r}.")
        self.encoder, self.channel, self.decoder = encoder, channel, decoder
        self.marginal = StandardNormal() if marginal is None and needs_marginal else marginal
        self.beta = float(beta)
        self.penalties = list(penalties)
        self._distortion_name = distortion
        self._trackers = [keras.metrics.Mean(name=name) for name in ("rate", "distortion", "neg_elbo")]

    def build(self, input_shape):
        loc_shape, log_scale_shape = self.encoder.compute_output_shape(tuple(input_shape))
        shapes = [(self.channel, [loc_shape, log_scale_shape]), *((penalty, loc_shape) for penalty in self.penalties)]
        shapes.append((self.marginal, input_shape if isinstance(self.marginal, VampPrior) else loc_shape))
        for layer, shape in shapes:
            if layer is not None and not layer.built:  # parts of a loaded model are built already
                layer.build(shape)

    def call(self, x, training=False):
        encodings = self.encoder(x, training=training)
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
        measure = DISTORTIONS[self._distortion_name]
        output = self.decoder(draw.code, training=training)
        return {"distortion": measure.nats(x, output), "reconstruction": measure.reconstruct(output)}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if sample_weight is not None:
            raise ValueError(
                "sample_weight has no meaning here, rate and distortion are plain means over examples: leave it out."
            )
        rate, distortion = y_pred["rate"], y_pred["distortion"]
        for tracker, value in zip(self._trackers, (rate, distortion, rate + distortion)):
            tracker.update_state(value)
        loss = ops.mean(distortion + self.beta * rate)
        return loss + sum(penalty(y_pred["code"]) for penalty in self.penalties)

    def compile(self, optimizer="adam", jit_compile=None, loss=None, **kwargs):
        """As `keras.Model.compile`, without a loss. jit_compile None: no XLA for TensorFlow on a CPU, else Keras's choice.

        XLA's CPU convolutions took 2.5 times oneDNN's time on the paper's network.
        """
        if loss is not None:
            raise ValueError(f"the loss is distortion + beta * rate, set where the model is made: leave loss={loss!r} out.")
        if jit_compile is None:
            jit_compile = False if on_tensorflow_cpu() else "auto"
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def predict(self, x, **kwargs):
        """Reconstructions of x, the mean of p(x|z), in the order of x; arguments as `keras.Model.predict`."""
        return super().predict(x, **kwargs)["reconstruction"]

    def encode(self, x, batch_size=100):
        """The encodings [loc, log_scale] of x, numpy arrays (n, ..., d): what the channel and its `adapt` take."""
        parts = [self.encoder.predict_on_batch(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        return [np.concatenate(head) for head in zip(*parts)]

    def measure(self, x, names, batch_size=100, on_batch=None):
        """The named terms of a call for every example of x, as numpy arrays in the order of x.

        Examples are visited in a fixed random order, in batches of near-equal size, none left out.

        Args:
            x: examples (n, ...).
            names: a list out of "code", "rate", "distortion", "reconstruction".
            batch_size: the largest batch.
            on_batch: called with each batch's size when it is done (for a progress bar).
        """
        order = np.random.default_rng(0).permutation(len(x))
        found = {name: [] for name in names}
        for rows in np.array_split(order, -(-len(x) // batch_size)):
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
        """The rate of each example in nats, (n,)."""
        return self.measure(x, ["rate"], batch_size)["rate"]

    def distortion(self, x, batch_size=100):
        """The distortion of each example in nats, one code drawn, (n,)."""
        return self.measure(x, ["distortion"], batch_size)["distortion"]

    def reconstruct(self, x, num_samples=1, batch_size=100):
        """The reconstruction of each example, the average over `num_samples` codes, of the shape of x."""
        draws = (self.measure(x, ["reconstruction"], batch_size)["reconstruction"] for _ in range(num_samples))
        return sum(draws) / num_samples

    def generate(self, n):
        """n examples decoded from codes of the marginal: p(z), or Echo's own q(z), for which `adapt` comes first."""
        if self.marginal is None:
            code = self.channel.sample_marginal(n)
        else:
            code = self.channel.generate(n, self.marginal.given(self.encoder))
        return ops.convert_to_numpy(DISTORTIONS[self._distortion_name].reconstruct(self.decoder(code)))

    def adapt(self, x, batch_size=100):
        """Lets an Echo channel keep the encodings of training examples x as its pool of donors."""
        self.channel.adapt(self.encode(x, batch_size))
        for name in ("train_function", "test_function", "predict_function"):
            setattr(self, name, None)  # compiled functions hold the pool that they were traced with

    def get_config(self):
        parts = {name: getattr(self, name) for name in ("encoder", "channel", "decoder", "marginal")}
        return {
            **super().get_config(),
            **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()},
            "penalties": [keras.saving.serialize_keras_object(p) for p in self.penalties],
            "distortion": self._distortion_name,
            "beta": self.beta,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("encoder", "channel", "decoder", "marginal"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        config["penalties"] = [keras.saving.deserialize_keras_object(p) for p in config["penalties"]]
        return cls(**config)
