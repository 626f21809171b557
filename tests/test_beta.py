"""beta is a variable, assignable in training; and a model is built when it is made."""

import keras
import numpy as np
import pytest

from echo_tf import BetaWarmup, GaussianSample
from tests.small_models import autoencoder, bars


class Watch(keras.callbacks.Callback):
    """Sets beta before every epoch, and keeps the loss of each with its terms."""

    def __init__(self, betas=()):
        super().__init__()
        self.betas, self.found = betas, []

    def on_epoch_begin(self, epoch, logs=None):
        if self.betas:
            self.model.beta = self.betas[epoch]

    def on_epoch_end(self, epoch, logs=None):
        self.found.append(((logs["loss"] - logs["distortion"]) / logs["rate"], float(self.model.beta)))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_callback_changes_beta_of_a_compiled_step(jit_compile):
    model = autoencoder(GaussianSample(seed=0), compiled=False)
    model.compile("adam", jit_compile=jit_compile)
    watch = Watch([0, 1, 2])
    model.fit(bars(), batch_size=10, epochs=3, verbose=0, callbacks=[watch])
    np.testing.assert_allclose(watch.found, [[0, 0], [1, 1], [2, 2]], atol=1e-4)


def test_an_assignment_to_the_variable_does_the_same_and_is_saved(tmp_path):
    model = autoencoder(beta=0.5)
    assert float(model.beta) == 0.5
    model.beta.assign(0.25)
    model.save(tmp_path / "model.keras")
    assert float(keras.saving.load_model(tmp_path / "model.keras").beta) == 0.25


def test_warm_up_is_linear_by_batches_and_depends_on_where_training_is_alone():
    seen = []

    class Steps(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(float(self.model.beta))

    model = autoencoder(beta=3.0)
    model.fit(bars(), batch_size=10, epochs=4, verbose=0, callbacks=[BetaWarmup(2), Steps()])
    expected = list(3 * np.minimum(1, np.arange(16) / 8))
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    assert float(model.beta) == 3.0
    for epochs, warm_up, end in ((2, 2, 3.0), (1, 0, 3.0)):  # full where the warm-up ends with training, or takes no time
        model.beta = 3.0
        model.fit(bars(), batch_size=10, epochs=epochs, verbose=0, callbacks=[BetaWarmup(warm_up)])
        assert float(model.beta) == end
    seen.clear()
    model.beta = 0.7  # as a checkpoint from the middle may leave it
    model.fit(bars(), batch_size=10, epochs=4, initial_epoch=1, verbose=0, callbacks=[BetaWarmup(2, beta=3.0), Steps()])
    np.testing.assert_allclose(seen, expected[4:], rtol=1e-6)


def test_a_model_is_built_when_it_is_made(tmp_path, capsys):
    model = autoencoder(seed=1)
    assert model.built and model.summary() is None and "echo_sample" in capsys.readouterr().out
    model.save_weights(tmp_path / "model.weights.h5")
    other = autoencoder(seed=2)
    other.load_weights(tmp_path / "model.weights.h5")  # before the first call
    for mine, theirs in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(mine, theirs)


def test_a_stopped_training_is_taken_up_by_keras_s_own_backup(tmp_path):
    class Stop(Exception):
        pass

    class StopAfterTwo(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise Stop

    callbacks = [keras.callbacks.BackupAndRestore(tmp_path / "backup")]
    with pytest.raises(Stop):
        autoencoder().fit(bars(), batch_size=10, epochs=4, verbose=0, callbacks=[*callbacks, StopAfterTwo()])
    history = autoencoder().fit(bars(), batch_size=10, epochs=4, verbose=0, callbacks=callbacks).history
    assert len(history["loss"]) == 2


@pytest.mark.parametrize("call", [lambda: BetaWarmup(-1), lambda: BetaWarmup(1, beta=-2)])
def test_bad_warm_ups_are_refused(call):
    with pytest.raises(ValueError, match="0 or more"):
        call()
