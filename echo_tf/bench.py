"""Speed, measured on the machine at hand: `run.py bench`.

Machines drift, so things that are compared take turns, and ratios are medians of neighbouring pairs.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import keras
import numpy as np

from echo_tf.bench_adversarial import bench_gan  # noqa: F401 (a part, found by its name)
from echo_tf.bench_annealing import bench_ais  # noqa: F401 (a part, found by its name)
from echo_tf.bench_disentangle import bench_disentangle  # noqa: F401
from echo_tf.methods import make_method
from echo_tf.optimizers import FusedAdam
from echo_tf.runs import records, surroundings

ROOT = Path(__file__).resolve().parent.parent
BATCH = 100  # the paper's batch size
ROUNDS = 25
CODE_SIZES = (32, 256, 1024, 4096)
LARGE_CODE = 65536
RING_SIZES = (2048, 4096, 8192, 16384)


def main(network, only=(), others=()):
    """Prints the figures of the parts `only` (all if empty) and returns the exit status.

    Args:
        network: the module of the architecture that most parts are of.
        others: {part: module} of those that are of another.
    """
    parts = {name.removeprefix("bench_"): part for name, part in globals().items() if name.startswith("bench_")}
    unknown = set(only) - set(parts)
    if unknown:
        print(f"run.py: bench has the parts {', '.join(parts)}, got {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    found = surroundings.describe()
    print(f"machine: {found['hardware']['processor']}, {found['hardware']['cores']} cores; backend {found['backend']}")
    for name, part in parts.items():
        if not only or name in only:
            for line in part(dict(others).get(name, network)):
                print(f"{name:9} {line}", flush=True)
    return 0


def take_turns(functions, rounds=ROUNDS, warm_up=3):
    """Seconds of each function, {name: [rounds]}, the functions taking turns within every round."""
    for function in functions.values():
        for _ in range(warm_up):
            function()
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(seconds, one, other):
    """Median over the rounds of seconds[one] / seconds[other]."""
    return statistics.median(a / b for a, b in zip(seconds[one], seconds[other]))


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

    images = _images()
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
    images = _images()
    steps = {"plain": {"num_terms": BATCH - 1}, "standardized": {"num_terms": BATCH - 1, "standardize": True}}
    functions = {name: training_step("echo", network, images, **settings)[0] for name, settings in steps.items()}
    with mock.patch("echo_tf.noise.require", lambda condition, message: None):
        functions["unchecked"] = training_step("echo", network, images, **steps["plain"])[0]
        functions["unchecked"]()  # its graph is made here
    seconds = take_turns(functions)
    yield f"Echo step / one without checks: {ratio(seconds, 'plain', 'unchecked'):.3f} (aim 1.01 or less)"
    yield f"standardized Echo step / plain one: {ratio(seconds, 'standardized', 'plain'):.3f} (aim 1.01 or less)"


def bench_codes(network):
    """Echo noise with its gradient at batch 100, by the size of the code: all terms at once, or one after another."""
    import tensorflow as tf

    for size in CODE_SIZES:
        functions = {}
        for name, limit in (("at once", size), ("in turn", 1)):
            with mock.patch("echo_tf.noise.LARGEST_AT_ONCE", limit):
                functions[name] = _noise_step(tf, "permutation", BATCH, size)
                functions[name]()
        seconds = take_turns(functions, rounds=12)
        at_once, in_turn = (1e3 * statistics.median(seconds[name]) for name in functions)
        yield f"{size} latents: terms at once {at_once:.0f} ms, one after another {in_turn:.0f} ms"
    values = json.loads(_child("code", LARGE_CODE))
    yield f"{LARGE_CODE} latents: {values['seconds']:.1f} s, {values['mebibytes'] / 1024:.1f} GiB (aim 4 or less)"


def bench_bfloat16(network):
    """A step in mixed_bfloat16 beside one in float32; on processors without bfloat16 it is emulated and takes far longer."""
    images = _images()
    steps = {policy: training_step("vae", network, images, policy)[0] for policy in ("float32", "mixed_bfloat16")}
    seconds = take_turns(steps, rounds=8)
    yield f"mixed_bfloat16 step / float32 step: {ratio(seconds, 'mixed_bfloat16', 'float32'):.2f} (aim 0.75 or less)"


def bench_methods(network):
    """A step of each method beside the Gaussian's; the VampPrior's has a measure of its own."""
    aims = {"echo": 1.03, "info-vae": 1.05, **dict.fromkeys(("vae-maf", "iaf-prior", "iaf-mmd", "iaf-maf"), 1.25)}
    images = _images()
    steps = {name: training_step(name, network, images, **_echo_terms(name))[0] for name in ("vae", *aims)}
    seconds = take_turns(steps, rounds=12)
    for name, aim in aims.items():
        yield f"{name} step / vae step: {ratio(seconds, name, 'vae'):.3f} (aim {aim} or less)"


def bench_vamp(network):
    """A VampPrior's step beside the passes it needs: batch and pseudo-inputs through the encoder, batch through the decoder."""
    import tensorflow as tf

    images = _images()
    vamp, model = training_step("vae-vamp", network, images)
    pseudo_inputs = model.marginal.num_pseudo_inputs
    many, codes = tf.constant(_images(BATCH + pseudo_inputs)), tf.random.normal((BATCH, *model.decoder.input_shape[1:]))

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

    images = _images(20 * BATCH)
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


def bench_study(network):
    """What a study does beside the epochs and the test of its runs: set-up, checkpoints, logs, examples, records."""
    from echo_tf.data import ImageData
    from echo_tf.kinds.autoencoder import Settings
    from echo_tf.runs.local_engine import run_local
    from echo_tf.runs.place import Tools
    from echo_tf.runs.runner import run as run_settings

    steps = 20  # an epoch
    images = _images(steps * BATCH).astype(np.uint8)
    data = ImageData("noise", "random", "made here", {"train": images, "test": images[: 2 * BATCH]}, 1)
    base = {"study": "bench", "dataset": "noise", "method": "vae", "batch_size": BATCH}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        tools = Tools(lambda name: network, lambda name: data, f"{folder}/results", f"{folder}/work", verbose=0)

        def run(settings):
            result, _ = run_settings(settings, tools)
            found.append(result.record)
            return result

        for epochs in (1, 4):  # the first run warms up
            started = time.perf_counter()
            runs = [Settings(**base, epochs=epochs, name=f"epochs{epochs}")]
            run_local(runs, tools, run, say=lambda line: None)
            seconds = time.perf_counter() - started
    record = found[-1]
    beside = (seconds - record["train_seconds"] - record["test"]["seconds"]) / epochs
    step = statistics.median(entry["seconds"] for entry in record["history"]) / steps
    yield f"beside training and test, a run of {epochs} epochs takes {beside:.2f} s an epoch"
    yield f"of an epoch of 500 steps like these: {100 * beside / (500 * step):.2f} % (aim 2 % or less)"


def bench_torch(network):
    """The same network and step in PyTorch: eager and compiled, channels last and not."""
    try:
        import torch
    except ImportError:
        yield "skipped: PyTorch is not installed (pip install -e .[bench])"
        return
    images = _images()
    functions = {"keras": training_step("vae", network, images)[0]}
    for layout in ("contiguous_format", "channels_last"):
        for compiled in (False, True):
            name = f"torch {'compiled' if compiled else 'eager'} {layout}"
            functions[name] = _torch_step(torch, images, getattr(torch, layout), compiled)
    try:
        seconds = take_turns(functions, rounds=12)
    except Exception as error:  # torch.compile needs a C++ compiler at hand
        yield f"skipped: {str(error).splitlines()[0]}"
        return
    for name, values in seconds.items():
        yield f"{name}: {1e3 * statistics.median(values):.0f} ms"
    best = min((name for name in seconds if name != "keras"), key=lambda name: statistics.median(seconds[name]))
    yield f"Keras step / best PyTorch step ({best}): {ratio(seconds, 'keras', best):.2f} (aim 0.85 or less)"


def bench_ring(network):
    """Time and peak memory of one `ring` draw with its gradient, by batch size, each in a process of its own."""
    found = {size: json.loads(_child("ring", size)) for size in RING_SIZES}
    for size, values in found.items():
        yield f"batch {size}: {1e3 * values['seconds']:.1f} ms, {values['mebibytes']:.0f} MiB"
    for name in ("seconds", "mebibytes"):
        growth = [found[b][name] / found[a][name] for a, b in zip(RING_SIZES, RING_SIZES[1:])]
        yield f"growth in {name} per doubling: {', '.join(f'{g:.2f}' for g in growth)} (aim 2.3 or less)"


def bench_commands(network):
    """Whole commands: those that need no tensors, and the quickstart from nothing."""
    light = (["--help"], ["data", "list"], ["study", "echo/rd_curves", "--list"], ["train", "echo/tabel1"])
    for words in light:
        found = []
        for _ in range(7):
            started = time.perf_counter()
            subprocess.run([sys.executable, ROOT / "run.py", *words], capture_output=True, check=False)
            found.append(time.perf_counter() - started)
        aim = 0.3 if words == ["--help"] else 1
        yield f"run.py {' '.join(words)}: {statistics.median(found):.2f} s (aim {aim} or less)"
    with tempfile.TemporaryDirectory() as folder:
        places = ["--results", shutil.copytree(ROOT / "results", f"{folder}/results")]
        started = time.perf_counter()
        for command in ("tables", "figures"):
            subprocess.run([sys.executable, ROOT / "run.py", command, *places], capture_output=True, check=True)
        seconds = time.perf_counter() - started
        number = len(records.read_all(ROOT / "results"))
        yield f"every table and figure from the {number} records: {seconds:.0f} s (aim 60 or less)"
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        places = ["--results", f"{folder}/results", "--work-dir", f"{folder}/work"]
        subprocess.run([sys.executable, ROOT / "run.py", *places], capture_output=True, check=True)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        yield f"quickstart: {time.perf_counter() - started:.0f} s (aim 240 or less), {peak:.2f} GiB (aim 2 or less)"


def _images(number=BATCH):
    return (np.random.default_rng(0).random((number, 28, 28, 1)) > 0.8).astype(np.float32)


def _torch_step(torch, images, layout, compiled):
    from torch import nn

    class Crop(nn.Module):  # Keras's "same" for an even kernel
        def forward(self, x):
            return x[..., :-1, :-1]

    def stack(*layers):
        return [part for layer in layers for part in (layer, nn.ReLU())]

    torch.manual_seed(0)
    encoder = nn.Sequential(
        *stack(nn.Conv2d(1, 32, 5, 1, 2), nn.Conv2d(32, 32, 5, 2, 2), nn.Conv2d(32, 64, 5, 1, 2), nn.Conv2d(64, 64, 5, 2, 2)),
        *stack(nn.Conv2d(64, 256, 7)),
        nn.Flatten(),
        nn.Linear(256, 64),
    )
    decoder = nn.Sequential(
        nn.Unflatten(1, (32, 1, 1)),
        *stack(nn.ConvTranspose2d(32, 64, 7), nn.ConvTranspose2d(64, 64, 5, 1, 2), nn.ConvTranspose2d(64, 64, 5, 2, 2, 1)),
        *stack(nn.ConvTranspose2d(64, 32, 5, 1, 2), nn.ConvTranspose2d(32, 32, 5, 2, 2, 1)),
        *(nn.ConvTranspose2d(32, 32, 4, 1, 1), Crop(), nn.ReLU()),
        nn.Conv2d(32, 1, 4, padding="same"),
    )
    model = nn.ModuleList([encoder, decoder]).to(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), 3e-4, eps=1e-7)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(memory_format=layout)

    def loss_of(x):
        loc, log_variance = encoder(x).chunk(2, 1)
        logits = decoder(loc + torch.exp(log_variance / 2) * torch.randn_like(loc))
        distortion = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))
        return (distortion + 0.5 * (log_variance.exp() + loc**2 - 1 - log_variance).sum(1)).mean()

    run = torch.compile(loss_of) if compiled else loss_of

    def step():
        optimizer.zero_grad()
        loss = run(x)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _child(part, size):
    words = [sys.executable, "-m", "echo_tf.bench", part, str(size)]
    return subprocess.run(words, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout.splitlines()[-1]


def _noise_step(tf, scheme, batch_size, size):
    """A function that draws Echo noise of codes (batch_size, size) and takes its gradient, in a graph."""
    from echo_tf.noise import echo_noise

    @tf.function
    def draw(loc, log_scale):
        with tf.GradientTape() as tape:
            tape.watch([loc, log_scale])
            loss = tf.reduce_sum(tf.square(echo_noise(loc, log_scale, scheme=scheme)))
        return [tf.reduce_sum(tf.convert_to_tensor(gradient)) for gradient in tape.gradient(loss, [loc, log_scale])]

    loc, log_scale = tf.random.uniform((batch_size, size), -1, 1), tf.fill((batch_size, size), -0.2)
    return lambda: draw(loc, log_scale)[0].numpy()


def _noise_child(part, size):
    """Prints seconds and peak memory of a draw with its gradient: of one ring of so many examples (32 latents), or of codes
    of so many latents at batch 100. Memory is that beyond a small draw's."""
    import tensorflow as tf

    small, large = ((64, 32), (size, 32)) if part == "ring" else ((BATCH, 2), (BATCH, size))
    scheme, rounds = ("ring", 30) if part == "ring" else ("permutation", 3)
    _noise_step(tf, scheme, *small)()
    before = peak_mebibytes()
    seconds = take_turns({"draw": _noise_step(tf, scheme, *large)}, rounds=rounds, warm_up=1)["draw"]
    print(json.dumps({"seconds": statistics.median(seconds), "mebibytes": peak_mebibytes() - before}))


def peak_mebibytes():
    """The most memory that this process has held. (What getrusage says of it may be its parent's.)"""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    _noise_child(sys.argv[1], int(sys.argv[2]))
