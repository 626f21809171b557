"""An adversarial autoencoder as a Keras model: the code is pushed to its prior by a discriminator of codes.

x --encoder--> code z --decoder--> f(z)
                 |
                 +--discriminator--> logit      z ~ N(0, I) --discriminator--> logit
"""

import keras
from keras import ops

from echo_tf import arguments
from echo_tf.adversarial.fitting import Adversarial, added_in_call, added_losses, check_logits
from echo_tf.adversarial.losses import LOSSES
from echo_tf.distortions import SquaredError
from echo_tf.guards import precise
from echo_tf.heads import outputs_of
from echo_tf.marginals import StandardNormal

LOSS = LOSSES["non_saturating"]


@keras.saving.register_keras_serializable(package="echo_tf")
class AdversarialAutoencoder(Adversarial):
    """An autoencoder of small squared error whose codes a discriminator cannot tell from draws of N(0, I).

    A step of `fit` has three parts, each with an optimizer of its own: encoder and decoder lower the squared error, the
    discriminator learns to tell codes from draws, the encoder learns to be taken for draws. The encoder's two gradients are
    of one pass.

    Reference: Makhzani, Shlens, Jaitly, Goodfellow and Frey, "Adversarial Autoencoders" (2015), section 2.

    Args:
        encoder: Keras model, x (B, ...) -> z (B, d), deterministic; or -> [loc, log_scale], both (B, d), and z is drawn from
            N(loc, exp(2 log_scale)).
        decoder: Keras model, z (B, d) -> f(z) of the shape of x.
        discriminator: Keras model, z (B, d) -> logit (B, 1), high for draws of N(0, I).
        seed: of draws, an integer or None.

    Call arguments:
        x: (B, ...).

    Returns (of a call): {"code": z (B, d), "distortion": squared error summed over an example (B,), "reconstruction": f(z)}.

    `fit` takes x alone and reports "distortion", "discriminator_loss", "encoder_loss" (nats) and "loss", their sum and what
    layers add to it. Regularizers of encoder and decoder count in the step of both, once.

    Raises:
        ValueError: for networks whose shapes do not fit each other, or another backend than TensorFlow.
    """

    parts = {
        "optimizer": lambda self: self.autoencoding,
        "discriminator_optimizer": lambda self: self.discriminator.trainable_variables,
        "encoder_optimizer": lambda self: self.encoder.trainable_variables,
    }

    def __init__(self, encoder, decoder, discriminator, seed=None, **kwargs):
        super().__init__(**kwargs)
        _check(encoder, decoder, discriminator)
        self.encoder, self.decoder, self.discriminator, self.seed = encoder, decoder, discriminator, seed
        self.marginal, self.measure_of_distortion = StandardNormal(), SquaredError()
        self.measure_of_distortion.build(encoder.input_shape, decoder.output_shape)
        self._seeds = keras.random.SeedGenerator(seed)
        names = ("loss", "distortion", "discriminator_loss", "encoder_loss")
        self._trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    @property
    def latent_dim(self):
        """d."""
        return self.decoder.input_shape[-1]

    @property
    def is_stochastic(self):
        """Whether the code is drawn."""
        return len(outputs_of(self.encoder)) == 2

    @property
    def metrics(self):
        return list(self._trackers.values())

    def code(self, x, training=False):
        """z of examples x (B, ...), one draw each of a stochastic encoder: (B, d)."""
        encodings = self.encoder(x, training=training)
        if not self.is_stochastic:
            return encodings
        loc, log_scale = precise(*encodings)
        return loc + ops.exp(log_scale) * keras.random.normal(ops.shape(loc), dtype=loc.dtype, seed=self._seeds)

    def call(self, x, training=False):
        code = self.code(x, training)
        output = self.decoder(code, training=training)
        return {"code": code, "distortion": self.measure_of_distortion(x, output), "reconstruction": output}

    def compile(self, optimizer="adam", *others, discriminator_optimizer="adam", encoder_optimizer="adam", **more):
        """As of `Adversarial`: optimizer is that of encoder and decoder, encoder_optimizer that of the encoder against the
        discriminator."""
        named = {"discriminator_optimizer": discriminator_optimizer, "encoder_optimizer": encoder_optimizer}
        super().compile(optimizer, *others, **named, **more)

    @property
    def autoencoding(self):
        """The variables that the squared error moves: those of encoder and decoder."""
        return [*self.encoder.trainable_variables, *self.decoder.trainable_variables]

    def generate(self, n):
        """n samples f(z), z ~ N(0, I), a numpy array (n, ...)."""
        z = keras.random.normal((arguments.integer("n", n), self.latent_dim), seed=self._seeds)
        return ops.convert_to_numpy(self.decoder(z, training=False))

    def gradients(self, x):
        """({name: term}, {part: its gradients}) of a step on x (B, ...), the parts "autoencoder" (of `autoencoding`),
        "discriminator" and "encoder", each in the order of its variables; under "mixed_float16" those of the scaled loss."""
        import tensorflow as tf

        draws = keras.random.normal((ops.shape(x)[0], self.latent_dim), seed=self._seeds)
        parts = {name: variables(self) for name, variables in self.parts.items()}
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variables in parts.values() for variable in variables])
            code = self.code(x, training=True)
            distortion = ops.mean(self.measure_of_distortion(x, self.decoder(code, training=True)))
            as_draws = self.discriminator(draws, training=True)
            added = added_in_call(self.discriminator)
            of_telling = LOSS.discriminator(as_draws, self.discriminator(ops.stop_gradient(code), training=True))
            added = {
                "optimizer": added_losses(self.encoder, self.decoder),
                "discriminator_optimizer": added + added_losses(self.discriminator),
            }
            of_passing = LOSS.generator(self.discriminator(code, training=True))
            terms = {"distortion": distortion, "discriminator_loss": of_telling, "encoder_loss": of_passing}
            minimized = [
                getattr(self, name).scale_loss(term + added.get(name, 0.0)) for name, term in zip(self.parts, terms.values())
            ]
        values = [[variable.value for variable in variables] for variables in parts.values()]
        gradients = [tape.gradient(*each) for each in zip(minimized, values)]
        terms["loss"] = sum(terms.values()) + sum(added.values())
        return terms, dict(zip(("autoencoder", "discriminator", "encoder"), gradients))

    def train_step(self, data):
        x, *_ = keras.utils.unpack_x_y_sample_weight(data)
        terms, gradients = self.gradients(x)
        for (name, variables), gradient in zip(self.parts.items(), gradients.values()):
            getattr(self, name).apply(gradient, variables(self))
        for name, value in terms.items():
            self._trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    def get_config(self):
        parts = {name: getattr(self, name) for name in ("encoder", "decoder", "discriminator")}
        serialized = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        return {**super().get_config(), **serialized, "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        names = ("encoder", "decoder", "discriminator")
        return cls(**{**config, **{name: keras.saving.deserialize_keras_object(config[name]) for name in names}})


def _check(encoder, decoder, discriminator):
    shapes = [tuple(output.shape) for output in outputs_of(encoder)]
    if len(shapes) not in (1, 2) or any(len(shape) != 2 or shape != shapes[0] for shape in shapes):
        raise ValueError(f"the encoder must give a code (B, d), or [loc, log_scale], both (B, d), got {shapes}.")
    for name, network in (("decoder", decoder), ("discriminator", discriminator)):
        if tuple(network.input_shape[1:]) != shapes[0][1:]:
            raise ValueError(f"the {name} must take codes (B, {shapes[0][1]}), got the input {network.input_shape}.")
    if decoder.output_shape[1:] != encoder.input_shape[1:]:
        raise ValueError(
            f"the decoder's output must have the shape of x, {encoder.input_shape[1:]} an example, "
            f"got {decoder.output_shape[1:]}."
        )
    if discriminator.output_shape[1:] != (1,):
        raise ValueError(f"the discriminator must give one logit a code, (B, 1), got {discriminator.output_shape}.")
    check_logits(discriminator)
