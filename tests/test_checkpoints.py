import numpy as np
import pytest
from keras import ops

from echo_tf import EchoSample
from echo_tf.errors import InputError
from echo_tf.runs import checkpoints
from models import alemi2018
from tests.test_autoencoder import small


@pytest.fixture
def model():
    model = small(EchoSample(num_terms=9, seed=0))
    model.build((None, 8, 8, 1))
    model.optimizer.build(model.trainable_variables)
    return model


def state(model):
    return [ops.convert_to_numpy(v.value) for v in [*model.variables, *model.optimizer.variables]]


def save(folder, model, history):
    variables = checkpoints.variables_of({"model": model, "optimizer": model.optimizer})
    arrays = {name: ops.convert_to_numpy(v.value) for name, v in variables.items()}
    checkpoints.save(folder, len(history), arrays, history)


def restore(folder, model):
    variables = checkpoints.variables_of({"model": model, "optimizer": model.optimizer})
    state = checkpoints.restore(folder, {name: v.shape for name, v in variables.items()})
    for name, variable in variables.items():
        if state is not None:
            variable.assign(state.arrays[name])
    return state.notes if state else []


def test_state_holds_weights_optimizer_and_random_generators(model, tmp_path):
    x = np.random.default_rng(0).random((20, 8, 8, 1)).astype("float32")
    model.fit(x, batch_size=10, verbose=0)
    before = state(model)
    save(tmp_path, model, [{"epoch": 1}])
    first = model.fit(x, batch_size=10, verbose=0, shuffle=False).history
    assert restore(tmp_path, model) == [{"epoch": 1}]
    for mine, theirs in zip(before, state(model)):
        np.testing.assert_array_equal(mine, theirs)
    # the same noise is drawn again: the generator's state came back too
    assert model.fit(x, batch_size=10, verbose=0, shuffle=False).history["loss"] == pytest.approx(first["loss"], rel=1e-5)


def test_two_are_kept_and_a_damaged_one_is_passed_over(model, tmp_path):
    for epoch in range(1, 5):
        save(tmp_path, model, [{"epoch": e} for e in range(1, epoch + 1)])
    newest, previous = sorted(tmp_path.glob("*.npz"), reverse=True)
    newest.write_bytes(newest.read_bytes()[:1000])
    assert len(restore(tmp_path, model)) == 3
    previous.write_bytes(b"")
    assert restore(tmp_path, model) == []


def test_another_network_s_checkpoint_is_refused(model, tmp_path):
    save(tmp_path, model, [{"epoch": 1}])
    other = alemi2018.encoder(image_shape=(8, 8, 1), latent_dim=3, width=0.1)
    other.compile("sgd")
    with pytest.raises(InputError, match="another network"):
        restore(tmp_path, other)


def test_a_checkpoint_says_whose_it_is_and_one_of_before_can_still_be_read(tmp_path):
    checkpoints.save(tmp_path, 1, {"a": np.zeros(2)}, [], {"beta": 2.0})
    assert checkpoints.restore(tmp_path).run == {"beta": 2.0}
    np.savez(tmp_path / "checkpoint-000000002.npz", a=np.ones(2), notes="[1]")  # as versions before wrote it
    assert checkpoints.restore(tmp_path)[:2] == (2, {"a": pytest.approx(np.ones(2))}) and not checkpoints.restore(tmp_path).run


def test_a_checkpoint_fits_however_many_models_the_process_made_before(model, tmp_path):
    save(tmp_path, model, [{"epoch": 1}])
    later = small(EchoSample(num_terms=9, seed=1))  # Keras numbers its layers on from the first model's
    later.build((None, 8, 8, 1))
    later.optimizer.build(later.trainable_variables)
    assert restore(tmp_path, later) == [{"epoch": 1}]
    for mine, theirs in zip(state(model), state(later)):
        np.testing.assert_array_equal(mine, theirs)


def test_whatever_byte_is_damaged_the_checkpoint_before_is_taken_or_this_one_as_it_was(model, tmp_path):
    save(tmp_path, model, [{"epoch": 1}])
    save(tmp_path, model, [{"epoch": 1}, {"epoch": 2}])
    newest = max(tmp_path.glob("*.npz"))
    whole, rng = newest.read_bytes(), np.random.default_rng(0)
    headers = [whole.index(b"NUMPY") + i for i in range(0, 100, 2)]  # of an array: what numpy reads with ast and tokenize
    for place in [*headers, *rng.integers(0, len(whole), 50)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        newest.write_bytes(bytes(damaged))
        assert len(restore(tmp_path, model)) in (1, 2)
