"""A generative adversarial network as a Keras model: a step of `fit` is one of the discriminator, then one of the generator.

z ~ N(0, I) --generator--> f(z) --.
                                   +--discriminator--> logit
                          x ------'
"""

import keras
from keras import ops

from echo_tf import arguments
from echo_tf.adversarial.fitting import Adversarial, added_in_call, added_losses, check_logits
from echo_tf.adversarial.losses import LOSSES, gradient_penalty, representation_entropy
from echo_tf.distortions import SquaredError
from echo_tf.heads import outputs_of
from echo_tf.marginals import StandardNormal

FEATURES = "features"  # the discriminator's layer whose signs are regularized


@keras.saving.register_keras_serializable(package="echo_tf")
class GenerativeAdversarialNetwork(Adversarial):
    """A generator and a discriminator, trained against each other.

    Both steps use one batch of codes: the generator learns from the samples by which the discriminator has just learned.

    Args:
        generator: Keras model, z (B, k) -> f(z) (B, ...). It is the `decoder` of this model.
        discriminator: Keras model, x (B, ...) -> logit (B, 1).
        loss: "non_saturating" or "wasserstein".
        penalty_weight: of `gradient_penalty`; 0: none.
        entropy_weight: of `representation_entropy` at the discriminator's layer named "features", of real and of generated
            examples; 0: none.
        seed: of codes and of points between examples, an integer or None.

    Call arguments:
        z: (B, k).

    Returns (of a call): f(z), (B, ...).

    `fit` takes x alone and reports "discriminator_loss", "generator_loss" (nats for "non_saturating"), "gradient_penalty",
    "representation_entropy" where they have a weight, and "loss", the sum of the two losses and of what layers add to them:
    regularizers count in the step of their own network. A saved model keeps the generator's optimizer, as Keras does, and not
    the discriminator's.

    Raises:
        ValueError: for networks whose shapes do not fit each other, a weight below 0, a gradient penalty on a discriminator
            with batch normalization, or another backend than TensorFlow.
    """

    parts = {
        "optimizer": lambda self: self.generator.trainable_variables,
        "discriminator_optimizer": lambda self: self.discriminator.trainable_variables,
    }

    def __init__(
        self, generator, discriminator, loss="non_saturating", penalty_weight=0.0, entropy_weight=0.0, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        _check(generator, discriminator, loss, {"penalty_weight": penalty_weight, "entropy_weight": entropy_weight})
        self.generator, self.discriminator, self.loss_name = generator, discriminator, loss
        self.penalty_weight, self.entropy_weight, self.seed = float(penalty_weight), float(entropy_weight), seed
        self.marginal, self.measure_of_distortion = StandardNormal(), SquaredError()
        self._seeds = keras.random.SeedGenerator(seed)
        self._with_features = None
        if entropy_weight:
            features = discriminator.get_layer(FEATURES).output
            self._with_features = keras.Model(discriminator.inputs[0], [discriminator.outputs[0], features])
        self._trackers = {name: keras.metrics.Mean(name=name) for name in self._reported()}
        self.built = True

    def _reported(self):
        terms = {"gradient_penalty": self.penalty_weight, "representation_entropy": self.entropy_weight}
        return ["loss", "discriminator_loss", "generator_loss", *(name for name, weight in terms.items() if weight)]

    @property
    def decoder(self):
        """The generator: what a curve is drawn of."""
        return self.generator

    @property
    def latent_dim(self):
        """k."""
        return self.generator.input_shape[-1]

    @property
    def metrics(self):
        return list(self._trackers.values())

    def call(self, z, training=False):
        return self.generator(z, training=training)

    def compile(self, optimizer="adam", *others, discriminator_optimizer="adam", **more):
        """As of `Adversarial`: optimizer is the generator's."""
        super().compile(optimizer, *others, discriminator_optimizer=discriminator_optimizer, **more)

    def generate(self, n):
        """n samples f(z), z ~ N(0, I), a numpy array (n, ...); the moving averages stand for a batch's."""
        z = keras.random.normal((arguments.integer("n", n), self.latent_dim), seed=self._seeds)
        return ops.convert_to_numpy(self.generator(z, training=False))

    def train_step(self, data):
        import tensorflow as tf

        x, *_ = keras.utils.unpack_x_y_sample_weight(data)
        z = keras.random.normal((ops.shape(x)[0], self.latent_dim), seed=self._seeds)
        variables = self.generator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            fakes = self.generator(z, training=True)
            added = added_losses(self.generator)
            with tape.stop_recording():
                terms, of_discriminator = self._discriminator_step(x, fakes)
            loss = LOSSES[self.loss_name].generator(self.discriminator(fakes, training=True))
            scaled = self.optimizer.scale_loss(loss + added)
        self.optimizer.apply(tape.gradient(scaled, [v.value for v in variables]), variables)
        terms |= {"generator_loss": loss, "loss": terms["discriminator_loss"] + loss + of_discriminator + added}
        for name, tracker in self._trackers.items():
            tracker.update_state(terms[name])
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    def _discriminator_step(self, x, fakes):
        """Moves the discriminator alone; returns the terms of its loss by name, and what its layers add to it."""
        import tensorflow as tf

        variables = self.discriminator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            terms, total, added = self.discriminator_terms(x, fakes)
            scaled = self.discriminator_optimizer.scale_loss(total + added)
        self.discriminator_optimizer.apply(tape.gradient(scaled, [v.value for v in variables]), variables)
        return terms, added

    def discriminator_terms(self, x, fakes):
        """({name: term}, what the discriminator minimizes, what its layers add to that) for real and generated examples
        (B, ...)."""
        terms, network = {}, self._with_features or self.discriminator
        real = network(x, training=True)  # apart from the fakes: batch normalization mixes a batch
        added = added_in_call(network)
        fake = network(fakes, training=True)
        added += added_losses(network)
        if self.entropy_weight:
            (real, of_real), (fake, of_fake) = real, fake
            terms["representation_entropy"] = representation_entropy(of_real) + representation_entropy(of_fake)
        terms["discriminator_loss"] = total = LOSSES[self.loss_name].discriminator(real, fake)
        if self.penalty_weight:
            terms["gradient_penalty"] = gradient_penalty(self.discriminator, x, fakes, self._seeds)
            total = total + self.penalty_weight * terms["gradient_penalty"]
        return terms, total + self.entropy_weight * terms.get("representation_entropy", 0.0), added

    def get_config(self):
        own = {name: getattr(self, name) for name in ("penalty_weight", "entropy_weight", "seed")}
        parts = {name: getattr(self, name) for name in ("generator", "discriminator")}
        serialized = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        return {**super().get_config(), **own, **serialized, "loss": self.loss_name}

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("generator", "discriminator")}
        return cls(**{**config, **parts})


def _check(generator, discriminator, loss, weights):
    arguments.choice("loss", loss, LOSSES)
    for name, weight in weights.items():
        arguments.number(name, weight)
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        if len(outputs_of(network)) != 1 or not isinstance(network.input_shape, tuple):
            raise ValueError(f"{name} must be a Keras model of one input and one output, got {network!r}.")
    if len(generator.input_shape) != 2:
        raise ValueError(f"the generator must take codes (B, k), got the input {generator.input_shape}.")
    if discriminator.input_shape[1:] != generator.output_shape[1:]:
        raise ValueError(
            f"the discriminator must take the generator's images, {generator.output_shape[1:]}, "
            f"got {discriminator.input_shape[1:]}."
        )
    if discriminator.output_shape[1:] != (1,):
        raise ValueError(f"the discriminator must give one logit an example, (B, 1), got {discriminator.output_shape}.")
    check_logits(discriminator)
    normalized = [layer.name for layer in discriminator._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    if weights["penalty_weight"] and normalized:
        raise ValueError(
            f"penalty_weight {weights['penalty_weight']:g}: a gradient penalty is of each example by itself, and batch "
            f"normalization ({normalized[0]}) mixes them: take a discriminator without it."
        )
    if weights["entropy_weight"] and FEATURES not in [layer.name for layer in discriminator.layers]:
        raise ValueError(f"entropy_weight {weights['entropy_weight']:g}: the discriminator needs a layer named {FEATURES!r}.")
