import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from echo_tf import echo_noise, exact_clip
from echo_tf import noise as noise_module
from echo_tf.noise import MACHINE_PRECISION, SCHEMES, draw_donors


def noise_by_loop(loc, log_scale, indices):
    """Equation 3, term by term, in float64."""
    loc, scale = np.asarray(loc, np.float64), np.exp(np.asarray(log_scale, np.float64))
    noise = np.zeros((len(indices), *loc.shape[1:]))
    for i, donors in enumerate(indices):
        weight = np.ones(loc.shape[1:])
        for donor in donors:
            noise[i] += weight * loc[donor]
            weight = weight * scale[donor]
    return noise


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize(
    ("num_terms", "max_magnitude", "published"),
    [(98, 1, 0.834413), (99, 1, 0.835866), (100, 1, 0.837292), (63, 1, 0.759082), (64, 1, 0.762203), (99, 10, 0.817523)],
)
def test_exact_clip_gives_the_published_values(num_terms, max_magnitude, published):
    assert exact_clip(num_terms, max_magnitude) == pytest.approx(published, abs=5e-7)


@pytest.mark.parametrize("num_terms", [1, 2, 10, 1000, 100_000])
@pytest.mark.parametrize("max_magnitude", [1e-6, 1.0, 1e3])
def test_exact_clip_solves_its_equation(num_terms, max_magnitude):
    r = exact_clip(num_terms, max_magnitude)
    assert 0 < r < 1
    remainder = np.log(max_magnitude) + num_terms * np.log(r) - np.log1p(-r)
    assert remainder == pytest.approx(np.log(MACHINE_PRECISION), abs=1e-6)


@pytest.mark.parametrize("arguments", [(0,), (-1,), (1.5,), (99, 0.0), (99, -1.0), (99, np.inf), (99, 1.0, 0.0)])
def test_exact_clip_refuses_what_has_no_solution(arguments):
    with pytest.raises(ValueError, match="must be"):
        exact_clip(*arguments)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_equals_the_sum_of_equation_3(encodings, dtype):
    loc, log_scale = (x.astype(dtype) for x in encodings)
    indices = np.random.default_rng(1).integers(0, 40, (25, 99))
    found = numpy(echo_noise(loc, log_scale, indices=indices))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, noise_by_loop(loc, log_scale, indices), atol=1e-6 if dtype == "float32" else 1e-14)


def test_noise_of_many_terms_equals_the_sum_too(encodings):
    indices = np.random.default_rng(1).integers(0, 40, (3, 700))
    np.testing.assert_allclose(numpy(echo_noise(*encodings, indices=indices)), noise_by_loop(*encodings, indices), atol=1e-13)


def test_a_scale_of_zero_ends_the_sum(encodings):
    loc, _ = encodings
    found = numpy(echo_noise(loc, np.full(loc.shape, -np.inf), indices=[[3, 4, 5], [7, 8, 9]]))
    np.testing.assert_array_equal(found, loc[[3, 7]])


@pytest.mark.parametrize("num_terms", [1, 2, 7, 38, 39, None, 60])
def test_ring_noise_equals_the_sum_along_the_ring(encodings, num_terms):
    loc, log_scale = encodings
    place = np.argsort(numpy(keras.random.uniform((40,), seed=5)), kind="stable")
    terms = min(num_terms or 39, 39)
    donors = np.empty((40, terms), int)
    for p, example in enumerate(place):
        donors[example] = place[(p + 1 + np.arange(terms)) % 40]
    found = numpy(echo_noise(loc, log_scale, num_terms, scheme="ring", seed=5))
    if terms == (num_terms or 39):
        np.testing.assert_allclose(found, noise_by_loop(loc, log_scale, donors), atol=1e-12)
    else:  # 21 further terms of the least weight are drawn with replacement
        reach = np.exp(39 * log_scale.max()) / (1 - np.exp(log_scale.max()))
        assert np.abs(found - noise_by_loop(loc, log_scale, donors)).max() < reach


@pytest.mark.parametrize("scheme", SCHEMES)
def test_noise_is_made_of_other_examples_only(scheme):
    # example i encodes as a unit vector; its own coordinate of its noise must stay 0
    noise = numpy(echo_noise(np.eye(12), np.full((12, 12), -0.5), scheme=scheme))
    assert np.all(np.diag(noise) == 0)
    off_diagonal = noise[~np.eye(12, dtype=bool)]
    assert np.all(off_diagonal > 0) if scheme != "replacement" else np.mean(off_diagonal > 0) > 0.4


@pytest.mark.parametrize("scheme", SCHEMES)
def test_of_two_examples_each_is_the_noise_of_the_other(scheme):
    noise = numpy(echo_noise(np.array([[1.0], [2.0]]), np.full((2, 1), np.log(0.5)), scheme=scheme))  # one term and no more
    np.testing.assert_array_equal(noise, [[2.0], [1.0]])


def test_donors_without_replacement_all_differ():
    donors = numpy(draw_donors(50, 49, 49, "permutation"))
    assert all(len(set(row)) == 49 for row in donors)
    assert len({tuple(row) for row in donors}) == 50
    ring = numpy(draw_donors(50, 30, 49, "ring"))
    assert all(len(set(row)) == 30 for row in ring)
    starts = {tuple(row[:2]) for row in ring}  # places on one ring: of 50 draws of 49 some 31 differ
    assert len(starts) > 15 and all(second == dict(starts)[first] for first, second in starts)
    short = numpy(draw_donors(10, 20, 9, "permutation"))
    assert all(len(set(row[:9])) == 9 for row in short) and short.shape == (10, 20) and short.max() < 9


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("num_terms", [None, 20, 60])
def test_donors_are_fresh_on_every_call_of_a_compiled_graph(encodings, scheme, num_terms, jit_compile):
    loc, log_scale = (x.astype("float32") for x in encodings)
    spec = tf.TensorSpec((None, 6))
    function = tf.function(
        lambda a, b: echo_noise(a, b, num_terms, scheme), input_signature=[spec, spec], jit_compile=jit_compile
    )
    first, second = numpy(function(loc, log_scale)), numpy(function(loc, log_scale))
    assert first.shape == (40, 6)
    assert np.mean(np.any(first != second, axis=1)) > 0.9


def test_schemes_share_marginal_mean_and_covariance():
    rng = np.random.default_rng(2)
    moments = {scheme: [] for scheme in SCHEMES}
    for _ in range(150):
        x = rng.normal(size=(200, 3)) @ np.array([[1, 0.6, 0], [0, 1, -0.4], [0, 0, 1]])
        log_scale = -0.4 - np.logaddexp(0, x)  # large f go with small s, so that the joint law matters
        for scheme in SCHEMES:
            noise = numpy(echo_noise(x + 0.5, log_scale, 30, scheme))
            moments[scheme].append(np.concatenate([noise.mean(0), np.cov(noise.T).ravel()]))
    means = {scheme: np.mean(m, axis=0) for scheme, m in moments.items()}
    errors = {scheme: np.std(m, axis=0) / np.sqrt(len(m)) for scheme, m in moments.items()}
    for scheme in ("replacement", "ring"):
        gap = np.abs(means[scheme] - means["permutation"])
        # donors repeat with probability O(1 / 200) under replacement: 2 % of slack besides 5 standard errors
        assert np.all(gap < 5 * np.hypot(errors[scheme], errors["permutation"]) + 0.02 * np.abs(means["permutation"])), scheme


@pytest.mark.parametrize("scheme", SCHEMES)
def test_linear_gaussian_channel_has_its_closed_form(scheme):
    c, s, d, batch_size = 0.7, 0.6, 4, 4000
    x = np.random.default_rng(3).normal(size=(batch_size, d))
    noise = numpy(echo_noise(c * x, np.full(x.shape, np.log(s)), 40, scheme))
    assert noise.var() == pytest.approx(c**2 / (1 - s**2), rel=0.06)


def test_dropped_terms_stay_below_the_bound_and_reach_it():
    num_terms = 30
    r = exact_clip(num_terms)
    indices = np.random.default_rng(4).integers(0, 50, (20, 4 * num_terms))
    for loc, tight in ((np.ones((50, 2)), True), (np.tanh(np.random.default_rng(5).normal(size=(50, 2))), False)):
        log_scale = np.full(loc.shape, np.log(r))
        short, long = (numpy(echo_noise(loc, log_scale, indices=indices[:, :n])) for n in (num_terms, 4 * num_terms))
        error = np.abs(long - short).max()
        assert error <= MACHINE_PRECISION * (1 + 1e-6)
        assert not tight or error > 0.999 * MACHINE_PRECISION


def test_gradient_flows_through_the_donors_and_equals_finite_differences(encodings):
    loc, log_scale = (x[:8] for x in encodings)
    indices = np.random.default_rng(6).integers(0, 8, (5, 12))
    weights = np.random.default_rng(7).normal(size=(5, 6))
    variables = [tf.Variable(loc), tf.Variable(log_scale)]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(weights * echo_noise(*variables, indices=indices))
    for which, gradient in enumerate(tape.gradient(loss, variables)):
        found, expected = numpy(tf.convert_to_tensor(gradient)), np.zeros((8, 6))
        for place in np.ndindex(8, 6):
            values = []
            for step in (1e-6, -1e-6):
                moved = [loc.copy(), log_scale.copy()]
                moved[which][place] += step
                values.append(np.sum(weights * noise_by_loop(*moved, indices)))
            expected[place] = (values[0] - values[1]) / 2e-6
        np.testing.assert_allclose(found, expected, atol=1e-7)
        assert np.all(found[np.unique(indices)] != 0)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ring_and_gather_noise_have_gradients_in_every_entry(encodings, scheme):
    variables = [tf.Variable(x) for x in encodings]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(echo_noise(*variables, 10, scheme)))
    for gradient in tape.gradient(loss, variables):
        values = numpy(tf.convert_to_tensor(gradient))
        assert np.all(np.isfinite(values)) and np.mean(values != 0) > (0.99 if scheme != "replacement" else 0.9)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_latents_may_have_any_trailing_shape(scheme):
    rng = np.random.default_rng(8)
    loc, log_scale = rng.normal(size=(10, 2, 3, 4)), -rng.random((10, 2, 3, 4))
    noise = echo_noise(loc, log_scale, scheme=scheme, seed=1)
    flat = echo_noise(loc.reshape(10, 24), log_scale.reshape(10, 24), scheme=scheme, seed=1)
    np.testing.assert_allclose(numpy(noise).reshape(10, 24), numpy(flat))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: echo_noise(np.zeros((4, 2)), np.full((4, 2), 0.1)), "log_scale must be <= 0"),
        (lambda: echo_noise(np.zeros((4, 2)), np.zeros((4, 3))), "same shape"),
        (lambda: echo_noise(np.zeros((1, 2)), np.zeros((1, 2))), "batch of 1"),
        (lambda: echo_noise(np.zeros((4, 2)), np.zeros((4, 2)), 0), "num_terms"),
        (lambda: echo_noise(np.zeros((4, 2)), np.zeros((4, 2)), scheme="shuffle"), "scheme"),
        (lambda: echo_noise(np.zeros((4, 2)), np.zeros((4, 2)), indices=[[4]]), "indices"),
    ],
)
def test_bad_input_gets_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_positive_scale_is_refused_inside_a_graph_too():
    function = tf.function(lambda a, b: echo_noise(a, b))
    with pytest.raises(tf.errors.InvalidArgumentError, match="log_scale must be <= 0"):
        function(tf.zeros((4, 2)), tf.ones((4, 2)))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("num_terms", [None, 5])
def test_a_batch_of_one_is_refused_inside_a_graph_too(scheme, num_terms):
    spec = tf.TensorSpec((None, 2))
    function = tf.function(lambda a, b: echo_noise(a, b, num_terms, scheme), input_signature=[spec, spec])
    for _ in range(5):  # whichever operation runs first
        with pytest.raises(tf.errors.InvalidArgumentError, match="a batch of 1 has none"):
            function(tf.zeros((1, 2)), tf.zeros((1, 2)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_batch_of_one_gets_no_noise_of_its_own_where_xla_drops_the_check(scheme):
    spec = tf.TensorSpec((None, 2))
    function = tf.function(lambda a, b: echo_noise(a, b, 5, scheme), input_signature=[spec, spec], jit_compile=True)
    assert np.isnan(function(tf.zeros((1, 2)), tf.zeros((1, 2)))).all()
    assert np.isfinite(function(tf.zeros((3, 2)), tf.zeros((3, 2)))).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_noise_is_drawn_in_double_precision_where_keras_computes_in_it(scheme):
    keras.config.set_floatx("float64")
    try:
        noise = echo_noise(np.zeros((5, 2)), np.full((5, 2), -1.0), scheme=scheme)
        assert noise.shape == (5, 2) and noise.dtype == "float64"
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize("jit_compile", [False, True])
def test_terms_summed_one_after_another_have_the_noise_and_the_gradient_of_all_at_once(encodings, monkeypatch, jit_compile):
    indices = np.random.default_rng(1).integers(0, 40, (25, 30))
    weights = np.random.default_rng(2).normal(size=(25, 6))
    found = []
    for limit in (10**6, 1):
        monkeypatch.setattr(noise_module, "LARGEST_AT_ONCE", limit)

        @tf.function(jit_compile=jit_compile)
        def noise_and_gradients(loc, log_scale):
            with tf.GradientTape() as tape:
                tape.watch([loc, log_scale])
                noise = echo_noise(loc, log_scale, indices=indices)
                loss = tf.reduce_sum(weights * noise**2)
            return noise, *tape.gradient(loss, [loc, log_scale])

        found.append([numpy(x) for x in noise_and_gradients(*map(tf.constant, encodings))])
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_large_codes_train_in_a_graph_of_any_batch_size():
    spec = tf.TensorSpec((None, 40, 40, 2))

    @tf.function(input_signature=[spec, spec])
    def gradient(loc, log_scale):
        with tf.GradientTape() as tape:
            tape.watch(loc)
            loss = tf.reduce_sum(echo_noise(loc, log_scale, 9))
        return tape.gradient(loss, loc)

    x = np.random.default_rng(0).normal(size=(12, 40, 40, 2)).astype("float32")
    found = numpy(gradient(x, -np.abs(x)))
    assert found.shape == x.shape and np.isfinite(found).all() and np.mean(found != 0) > 0.99


@pytest.mark.parametrize("batch_size", [10, 100])
def test_repeated_donors_widen_the_noise_as_the_docstring_says(batch_size):
    s, others = 0.8, batch_size - 1
    loc = np.random.default_rng(0).normal(size=(others, 1000)).astype("float32")  # in every dimension a batch of its own
    donors = draw_donors(400, 99, others, "replacement", seed=1)
    noise = numpy(echo_noise(loc, np.full_like(loc, np.log(s)), indices=donors))
    a1, a2 = 1 / (1 - s**2), 1 / (1 - s) ** 2
    assert np.mean(noise**2) == pytest.approx(a1 + (a2 - a1) / others, rel=0.04)
