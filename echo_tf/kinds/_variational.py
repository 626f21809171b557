"""The work of the kind `variational`: one encoder, trained on from beta to beta against a frozen decoder."""

import keras
import numpy as np

from echo_tf.ais.averages import standard_error
from echo_tf.ais.decoders import of_means
from echo_tf.ais.priors import prior_of
from echo_tf.autoencoder import RateDistortionAutoencoder
from echo_tf.channels import GaussianSample
from echo_tf.errors import InputError
from echo_tf.kinds._networks import builder_of, check_network
from echo_tf.kinds._training import data_of, num_training_images, tested
from echo_tf.optimizers import FusedAdam
from echo_tf.runs.fitting import fit

COLUMNS = {  # what is measured -> its standard error
    "rate_nats": "rate_standard_error_nats",
    "distortion_sse": "distortion_standard_error_sse",
    "rate_plus_beta_distortion_nats": "rate_plus_beta_distortion_standard_error_nats",
}


def perform(settings, place):
    """The encoders of `variational.Settings`. Returns what the record says of them."""
    data, said = data_of(settings.model, place)
    number = num_training_images(settings, data)
    images, split = tested(settings.model, place)
    if settings.num_images > len(images):
        raise InputError(f"setting 'num_images' is {settings.num_images}, but there are {len(images)} test images.")
    model = _model(settings, place, data)
    callback = _Rising(settings, place, images[: settings.num_images])
    trained = fit(
        model,
        lambda rows: (data.floats("train", rows),),
        number,
        settings,
        place,
        columns={"rate": "rate_nats", "distortion": "distortion_sse", **callback.columns},
        callbacks=lambda: [callback],
    )
    said |= {"train_images_used": number, "images_used": [0, settings.num_images], "split": split}
    payload = {"data": said, "images": settings.num_images, "samples_per_image": settings.samples, **trained.said()}
    if trained.diverged:
        return payload
    ends = trained.history[settings.epochs - 1 :: settings.epochs]
    table = [{name.removeprefix("test_"): value for name, value in end.items() if name.startswith("test_")} for end in ends]
    return {**payload, "encoders": [{"beta": beta, **row} for beta, row in zip(settings.betas, table)]}


def _model(settings, place, data):
    trained = place.model(settings.model)
    network, channel = place.network(settings.encoder_network), GaussianSample()
    chosen = _Encoder(settings.kind, settings.encoder_network, settings.encoder_settings, settings.encoder_width)
    check_network(chosen, network, ("encoder",))
    try:
        if prior_of(trained) is not None:
            raise ValueError("the model's prior must be N(0, I).")
        build = builder_of(chosen, network, "encoder", data.image_shape)
        encoder = build(latent_dim=settings.model.latent_dim, head_activations=channel.head_activations)
        trained.decoder.trainable = False
        decoder = of_means(trained.decoder, trained.measure_of_distortion)
        model = RateDistortionAutoencoder(encoder, channel, decoder, distortion="squared_error")
    except ValueError as error:
        raise InputError(f"{settings.run_path}: {error}") from error
    model.compile(FusedAdam(settings.learning_rate))
    model.optimizer.build(model.trainable_variables)
    return model


class _Encoder:
    """The settings of an encoder's network, named as those of a training."""

    def __init__(self, kind, network, network_settings, width):
        self.kind, self.network, self.network_settings, self.width = kind, network, network_settings, width


class _Rising(keras.callbacks.Callback):
    """Raises beta, and measures the encoder at the end of each: a pure function of the epoch, so that a run can go on."""

    def __init__(self, settings, place, images):
        super().__init__()
        self.settings, self.place, self.images = settings, place, images
        names = [f"test_{name}" for pair in COLUMNS.items() for name in pair]
        self.columns = dict(zip(names, names))

    def on_epoch_begin(self, epoch, logs=None):
        # the loss is D + R / beta: of R + beta D it differs by a factor alone, which Adam does not see
        self.model.beta = 1.0 / self._beta(epoch)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.settings.epochs == 0:
            self.place.check()
            logs.update({f"test_{name}": value for name, value in self._measured(self._beta(epoch)).items()})

    def _beta(self, epoch):
        return self.settings.betas[epoch // self.settings.epochs]

    def _measured(self, beta):
        batch = self.settings.batch_size
        rate = self.model.rate(self.images, batch).astype(np.float64)
        every = self.model.distortion(np.repeat(self.images, self.settings.samples, axis=0), batch).astype(np.float64)
        distortion = every.reshape(len(self.images), -1).mean(axis=1)
        found = {}
        for (name, error), values in zip(COLUMNS.items(), (rate, distortion, rate + beta * distortion)):
            found |= {name: float(values.mean()), error: float(standard_error(values[None])[0])}
        return found
