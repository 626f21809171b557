import keras
import numpy as np
import pytest
import tensorflow as tf

from echo_tf.optimizers import FusedAdam

SETTINGS = {"learning_rate": 0.02, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-5}


def steps(optimizer, gradients, jit_compile=None):
    """The weights after each of the gradients, applied eagerly or (jit_compile given) in a graph."""
    weights = [keras.Variable(np.linspace(-1, 1, g.size).reshape(g.shape).astype("float32")) for g in gradients[0]]
    optimizer.build(weights)

    def apply(*values):
        optimizer.apply(list(values), weights)

    if jit_compile is not None:
        apply = tf.function(apply, jit_compile=jit_compile)
    found = []
    for values in gradients:
        apply(*map(tf.constant, values))
        found.append([keras.ops.convert_to_numpy(w) for w in weights])
    return found


@pytest.fixture
def gradients():
    rng = np.random.default_rng(0)
    return [[rng.normal(size=(5, 3)).astype("float32"), rng.normal(size=7).astype("float32")] for _ in range(12)]


@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_weights_follow_the_algorithm_of_the_paper(gradients, jit_compile):
    rate, beta_1, beta_2, epsilon = SETTINGS.values()
    found = steps(FusedAdam(**SETTINGS), gradients, jit_compile)
    for i in range(2):
        w, m, v = np.linspace(-1, 1, gradients[0][i].size).reshape(gradients[0][i].shape), 0.0, 0.0
        for t, values in enumerate(gradients, 1):
            m, v = beta_1 * m + (1 - beta_1) * values[i], beta_2 * v + (1 - beta_2) * values[i] ** 2
            # section 2's order of computation, where epsilon is not corrected for the bias of v
            w = w - rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)
            np.testing.assert_allclose(found[t - 1][i], w, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("settings", [{}, {"amsgrad": True}, {"global_clipnorm": 0.5}, {"weight_decay": 0.1}])
def test_weights_are_those_of_keras(gradients, settings):
    ours, theirs = (steps(kind(**SETTINGS, **settings), gradients) for kind in (FusedAdam, keras.optimizers.Adam))
    for one, other in zip(ours, theirs):
        for a, b in zip(one, other):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_sparse_gradients_are_taken_too():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Embedding(6, 2)])
    before = model.get_weights()[0]
    model.compile(FusedAdam(0.1), loss="mse")
    model.fit(np.array([[1], [3]]), np.full((2, 1, 2), 9.0), verbose=0)
    changed = np.any(model.get_weights()[0] != before, axis=1)
    np.testing.assert_array_equal(changed, [False, True, False, True, False, False])


def test_optimizer_survives_saving(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(FusedAdam(**SETTINGS), loss="mse")
    x = np.ones((4, 3))
    model.fit(x, x[:, :2], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.fit(x, x[:, :2], epochs=3, shuffle=False, verbose=0)
    assert isinstance(loaded.optimizer, FusedAdam) and int(loaded.optimizer.iterations) == 4
    for a, b in zip(model.get_weights(), loaded.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-6)
