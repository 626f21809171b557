"""Test metrics of a trained autoencoder."""

import numpy as np
import tqdm

METRICS = ("rate_nats", "distortion_nats", "neg_elbo_nats")


def evaluate(model, x, num_samples=1, batch_size=100, check=lambda: None, progress=True):
    """Rate, distortion and -ELBO over all of x, in nats per example.

    Args:
        model: a `RateDistortionAutoencoder`.
        x: images (n, ...).
        num_samples: codes drawn for each image; an image's value is the mean over them.
        batch_size: the largest batch; Echo takes its noise from it.
        check: called after every batch; may raise to interrupt.
        progress: whether to show a progress bar.

    Returns:
        {metric: {"mean": ..., "standard_error": ...}}, the standard error over images.
    """
    rate = distortion = 0.0
    with tqdm.tqdm(total=num_samples * len(x), desc="test", unit="image", disable=not progress, leave=False) as bar:

        def on_batch(size):
            bar.update(size)
            check()

        for _ in range(num_samples):
            terms = model.measure(x, ["rate", "distortion"], batch_size, on_batch)
            rate = rate + terms["rate"].astype(np.float64) / num_samples
            distortion = distortion + terms["distortion"].astype(np.float64) / num_samples
    values = dict(zip(METRICS, (rate, distortion, rate + distortion)))
    return {
        name: {"mean": float(value.mean()), "standard_error": float(value.std(ddof=1) / np.sqrt(len(value)))}
        for name, value in values.items()
    }
