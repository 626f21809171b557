import keras
import numpy as np
import pytest

from echo_tf import Bernoulli, CallableDistortion
from echo_tf.evaluation import evaluate, log_likelihood


class Scripted:
    """A model whose terms are known: image i has rate i, and distortion 10 i in even passes, 30 i in odd ones."""

    measure_of_distortion = Bernoulli()

    def __init__(self):
        self.passes = 0

    def measure(self, x, names, batch_size, on_batch):
        self.passes += 1
        on_batch(len(x))
        i = np.arange(len(x), dtype=np.float32)
        return {"rate": i, "distortion": i * (10 if self.passes % 2 else 30)}


def test_means_and_standard_errors_are_over_images():
    found = evaluate(Scripted(), np.zeros((5, 1)), progress=False)
    values = 11.0 * np.arange(5)
    assert found["neg_elbo_nats"]["mean"] == pytest.approx(values.mean())
    assert found["neg_elbo_nats"]["standard_error"] == pytest.approx(values.std(ddof=1) / np.sqrt(5))


def test_samples_are_averaged_within_each_image():
    found = evaluate(Scripted(), np.zeros((5, 1)), num_samples=2, progress=False)
    assert found["distortion_nats"]["mean"] == pytest.approx(20 * 2.0)
    assert found["rate_nats"]["mean"] == pytest.approx(2.0)


class OfKnownWeights:
    """A model with log importance weights x + k, k = 0, 1, ... counting the codes of an example in a call."""

    measure_of_distortion, marginal, decoder = Bernoulli(), "a density", None

    def encoder(self, x):
        return [x, x]

    def log_weights(self, x, encodings):
        return x[:, 0] + keras.ops.floor(keras.ops.arange(x.shape[0], dtype="float32") / 4)


@pytest.mark.parametrize("number", [3, 10, 15])
def test_the_likelihood_is_the_log_of_the_mean_weight_of_as_many_codes_as_were_asked_for(number):
    x = np.linspace(0, 1, 4, dtype="float32")[:, None]
    found = log_likelihood(OfKnownWeights(), x, number, batch_size=4, progress=False)
    counts = np.arange(number) % 10  # ten codes a call
    expected = -(x[:, 0] + np.log(np.mean(np.exp(counts))))
    assert found["neg_log_likelihood_nats"]["mean"] == pytest.approx(expected.mean(), rel=1e-5)
    assert found["neg_log_likelihood_nats"]["standard_error"] == pytest.approx(expected.std(ddof=1) / 2, rel=1e-5)


def test_a_check_may_interrupt_between_batches():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(Scripted(), np.zeros((5, 1)), check=stop, progress=False)


def test_a_distortion_that_is_no_likelihood_has_its_unit_in_its_name_and_no_elbo():
    model = Scripted()
    model.measure_of_distortion = CallableDistortion(lambda x, output: x, unit="mean error, in m")
    assert set(evaluate(model, np.zeros((5, 1)), progress=False)) == {"rate_nats", "distortion_mean_error_in_m"}
