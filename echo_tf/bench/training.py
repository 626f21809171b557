"""Speed of training steps on the paper's network: `run.py bench step checks bfloat16 methods vamp fit`."""

import statistics
import time
from unittest import mock

import keras
import numpy as np

from echo_tf.bench.timing import ratio, take_turns
from echo_tf.methods import make_method
from echo_tf.optimizers import FusedAdam

BATCH = 100  # the paper's batch size


def training_step(method, network, images, policy="float32", **settings):
    """A bare training step on one batch: a plain `tf.function` that does what `fit` does with it, run to its end."""
    import tensorflow as tf

    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)
    model = make_method(method, network.encoder, network.decoder, **settings)
    model.build(images.shape)
    model.compile(FusedAdam(3e-4))
    model.optimizer.build(model.trainable_variables)
    keras.config.set_dtype_policy("float32")
    x = tf.constant(images)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, None, model(x, training=True), None)
        model.optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
        return loss

    return lambda: step().numpy(), model


def step_gflop(model, batch_size):
    """Floating-point operations of a training step in 10^9: twice the multiply-adds, forward and both gradients."""
    multiply_adds = 0
    for layer in (*model.encoder.layers, *model.decoder.layers):
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.Dense)):
            places = layer.input if isinstance(layer, keras.layers.Conv2DTranspose) else layer.output
            multiply_adds += int(np.prod(layer.kernel.shape)) * int(np.prod(places.shape[1:-1]))
    return 6e-9 * multiply_adds * batch_size


def bench_step(network):
    """Gaussian and Echo steps beside the machine's float32 matrix product."""
    import tensorflow as tf

    images = random_images()
    gaussian, model = training_step("vae", network, images)
    matrix = tf.random.normal((2048, 2048))
    product = tf.function(lambda a: tf.matmul(a, a))
    seconds = take_turns(
        {
            "gaussian": gaussian,
            "echo": training_step("echo", network, images, num_terms=BATCH - 1)[0],
            "matmul": lambda: [product(matrix) for _ in range(4)][-1].numpy(),
        }
    )
    gflop = step_gflop(model, BATCH)
    product_gflop = 4 * 2e-9 * 2048**3
    share = statistics.median(gflop / s / (product_gflop / p) for s, p in zip(seconds["gaussian"], seconds["matmul"]))
    yield f"float32 step at batch {BATCH}: {1e3 * statistics.median(seconds['gaussian']):.0f} ms, {gflop:.1f} GFLOP"
    yield f"float32 matrix product: {product_gflop / statistics.median(seconds['matmul']):.0f} GFLOP/s"
    yield f"step's rate / matrix product's rate: {share:.2f} (aim 0.80 or more)"
    yield f"Echo step / Gaussian step: {ratio(seconds, 'echo', 'gaussian'):.3f} (aim 1.03 or less)"


def bench_checks(network):
    """Echo steps with and without the checks of values within the graph, and with and without a standardized code."""
    images = random_images()
    steps = {"plain": {"num_terms": BATCH - 1}, "standardized": {"num_terms": BATCH - 1, "standardize": True}}
    functions = {name: training_step("echo", network, images, **settings)[0] for name, settings in steps.items()}
    with mock.patch("echo_tf.noise.require", lambda condition, message, then: then):
        functions["unchecked"] = training_step("echo", network, images, **steps["plain"])[0]
        functions["unchecked"]()  # its graph is made here
    seconds = take_turns(functions)
    yield f"Echo step / one without checks: {ratio(seconds, 'plain', 'unchecked'):.3f} (aim 1.01 or less)"
    yield f"standardized Echo step / plain one: {ratio(seconds, 'standardized', 'plain'):.3f} (aim 1.01 or less)"


def bench_bfloat16(network):
    """A step in mixed_bfloat16 beside one in float32; on processors without bfloat16 it is emulated and takes far longer."""
    images = random_images()
    steps = {policy: training_step("vae", network, images, policy)[0] for policy in ("float32", "mixed_bfloat16")}
    seconds = take_turns(steps, rounds=8)
    yield f"mixed_bfloat16 step / float32 step: {ratio(seconds, 'mixed_bfloat16', 'float32'):.2f} (aim 0.75 or less)"


def bench_methods(network):
    """A step of each method beside the Gaussian's; the VampPrior's has a measure of its own."""
    aims = {"echo": 1.03, "info-vae": 1.05, **dict.fromkeys(("vae-maf", "iaf-prior", "iaf-mmd", "iaf-maf"), 1.25)}
    images = random_images()
    steps = {name: training_step(name, network, images, **_echo_terms(name))[0] for name in ("vae", *aims)}
    seconds = take_turns(steps, rounds=12)
    for name, aim in aims.items():
        yield f"{name} step / vae step: {ratio(seconds, name, 'vae'):.3f} (aim {aim} or less)"


def bench_vamp(network):
    """A VampPrior's step beside the passes it needs: batch and pseudo-inputs through the encoder, batch through the decoder."""
    import tensorflow as tf

    images = random_images()
    vamp, model = training_step("vae-vamp", network, images)
    pseudo_inputs = model.marginal.num_pseudo_inputs
    many, codes = tf.constant(random_images(BATCH + pseudo_inputs)), tf.random.normal((BATCH, *model.decoder.input_shape[1:]))

    def passes(part, inputs):
        @tf.function
        def run():
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                loss = sum(tf.reduce_sum(output) for output in tf.nest.flatten(part(inputs, training=True)))
            # decoder: the gradient goes on to the code; encoder: to the pseudo-inputs
            return [tf.reduce_sum(g) for g in tape.gradient(loss, [inputs, *part.trainable_variables])]

        return lambda: run()[0].numpy()

    seconds = take_turns(
        {"vamp": vamp, "encoder": passes(model.encoder, many), "decoder": passes(model.decoder, codes)}, rounds=8
    )
    shares = [v / (e + d) for v, e, d in zip(*(seconds[name] for name in ("vamp", "encoder", "decoder")))]
    yield f"vae-vamp step / its encoder and decoder passes: {statistics.median(shares):.2f} (aim 1.15 or less)"


def _echo_terms(method):
    return {"num_terms": BATCH - 1} if method == "echo" else {}


def bench_fit(network):
    """What a step inside `fit`, with the shuffled input pipeline, takes beside a bare step on one batch."""
    from echo_tf.runs.batches import ShuffledBatches

    images = random_images(20 * BATCH)
    step, model = training_step("vae", network, images[:BATCH])
    ratios = []

    class Turns(keras.callbacks.Callback):
        """Times the steps of every epoch, then as many bare ones; the first two epochs are traced and do not count."""

        def on_epoch_begin(self, epoch, logs=None):
            self.ends = []

        def on_train_batch_end(self, batch, logs=None):
            self.ends.append(time.perf_counter())

        def on_epoch_end(self, epoch, logs=None):
            bare = take_turns({"bare": step}, rounds=20, warm_up=1)["bare"]
            if epoch > 1:
                ratios.append(statistics.median(np.diff(self.ends)) / statistics.median(bare))

    pixels = (255 * images).astype(np.uint8)
    batches = ShuffledBatches(lambda rows: (pixels[rows].astype(np.float32) / 255,), len(pixels), BATCH, seed=0)
    model.fit(batches, shuffle=False, verbose=0, epochs=8, callbacks=[Turns()])
    yield f"step inside fit / bare step: {statistics.median(ratios):.3f} (aim 1.05 or less)"


def random_images(number=BATCH):
    """(number, 28, 28, 1) of zeros and ones."""
    return (np.random.default_rng(0).random((number, 28, 28, 1)) > 0.8).astype(np.float32)
