"""Test metrics of a trained autoencoder."""

import re

import keras
import numpy as np
import tqdm
from keras import ops

from echo_tf import arguments, inputs
from echo_tf.precision import in_float32


def unit_of(model):
    """The unit of a model's distortion, as it stands in the names of columns: "nats", "sse" (sum of squared errors), ..."""
    return {"squared error": "sse"}.get(model.measure_of_distortion.unit) or re.sub(
        r"\W+", "_", model.measure_of_distortion.unit
    )


def evaluate(model, x, num_samples=1, batch_size=100, check=lambda: None, progress=True):
    """Rate (nats), distortion (in its unit) and, with a likelihood, -ELBO (nats), per example over all of x.

    Args:
        model: a `RateDistortionAutoencoder`.
        x: images (n, ...), or batches of them.
        num_samples: codes drawn for each image; an image's value is the mean over them.
        batch_size: the largest batch; Echo takes its noise from it.
        check: called after every batch; may raise to interrupt.
        progress: whether to show a progress bar.

    Returns:
        {"rate_nats": {"mean": ..., "standard_error": ...}, "distortion_nats": ..., "neg_elbo_nats": ...}, the standard error
        over images (NaN for a single one).

    Raises:
        ValueError: for images that the model's distortion does not take, or a number of codes below 1.
    """
    num_samples, x = arguments.integer("num_samples", num_samples), inputs.as_array(x, model.measure_of_distortion.limits)
    rate = distortion = 0.0
    with tqdm.tqdm(total=num_samples * len(x), desc="test", unit="image", disable=not progress, leave=False) as bar:

        def on_batch(size):
            bar.update(size)
            check()

        for _ in range(num_samples):
            terms = model.measure(x, ["rate", "distortion"], batch_size, on_batch)
            rate = rate + terms["rate"].astype(np.float64) / num_samples
            distortion = distortion + terms["distortion"].astype(np.float64) / num_samples
    values = {"rate_nats": rate, f"distortion_{unit_of(model)}": distortion}
    if model.measure_of_distortion.is_likelihood:
        values["neg_elbo_nats"] = rate + distortion
    return {name: _mean(value) for name, value in values.items()}


def _mean(values):
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return {"mean": float(values.mean()), "standard_error": float(error)}


class _LogWeights(keras.Model):
    """Log importance weights of `samples` codes for each example, x (B, ...) -> (samples, B): Keras compiles its `predict`."""

    def __init__(self, model, samples):
        super().__init__(name="log_weights", autocast=False)  # Keras would make a name that TensorFlow refuses, and round x
        self.model, self.samples = model, samples

    def call(self, x):
        encodings = [ops.tile(e, (self.samples, *[1] * (len(e.shape) - 1))) for e in self.model.encoder(x)]
        tiled = ops.tile(x, (self.samples, *[1] * (len(x.shape) - 1)))
        weights = self.model.log_weights(tiled, encodings)
        return ops.reshape(weights, (self.samples, -1))


def log_likelihood(model, x, num_samples, batch_size=100, check=lambda: None, progress=True):
    """log p(x) by importance sampling, log mean_k p(x|z_k) p(z_k) / q(z_k|x): a lower bound that tightens with num_samples.

    Reference: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016, equation 8.

    Args: as `evaluate`; num_samples: codes z_k of each image.

    Returns:
        {"neg_log_likelihood_nats": {"mean": ..., "standard_error": ...}, "samples_per_image": num_samples}.

    Raises:
        ValueError: for an Echo model, whose q(z|x) has no known density, and as `evaluate`.
    """
    if model.marginal is None:
        raise ValueError("the density q(z|x) of an Echo channel is not known: there are no importance weights.")
    num_samples, x = arguments.integer("num_samples", num_samples), inputs.as_array(x, model.measure_of_distortion.limits)
    arguments.integer("batch_size", batch_size)
    model = in_float32(model)  # weights are exponentiated, and an image has hundreds of terms
    at_once = min(num_samples, 10)  # a VampPrior encodes its pseudo-inputs anew on every call
    chunk = _LogWeights(model, at_once)
    calls = -(-num_samples // at_once)
    found = []
    with tqdm.tqdm(total=len(x), desc="likelihood", unit="image", disable=not progress, leave=False) as bar:
        for i in range(0, len(x), batch_size):
            rows = x[i : i + batch_size]
            log_weights = []
            for _ in range(calls):
                log_weights.append(chunk.predict_on_batch(rows))
                check()
            log_weights = np.concatenate(log_weights)[:num_samples].astype(np.float64)
            found.append(np.logaddexp.reduce(log_weights, axis=0) - np.log(num_samples))
            bar.update(len(rows))
    bound = -np.concatenate(found)
    return {"neg_log_likelihood_nats": _mean(bound), "samples_per_image": num_samples}
