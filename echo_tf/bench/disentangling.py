"""Speed of the dSprites networks: a training step beside PyTorch's, the discriminator beside its products, scores, memory."""

import statistics
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import numpy as np

from echo_tf.bench.timing import ROOT, ratio, take_turns

BATCH, LATENTS, UNITS = 64, 10, 1000
DATASET = (3, 6, 40, 32, 32)
MEMORY = """
import tempfile
import numpy as np
from echo_tf.bench.timing import peak_mebibytes
from echo_tf.data import Dataset
from echo_tf.data.arrays import PackedImages
from echo_tf.data.canonical import grid
from echo_tf.kinds.autoencoder import Settings
from echo_tf.runs.place import Tools
from echo_tf.runs.runner import run
from models import locatello2019
sizes = (3, 6, 40, 32, 32)
bits = np.random.default_rng(0).integers(0, 256, (np.prod(sizes), 512), dtype=np.uint8)
names = ("shape", "scale", "orientation", "x", "y")
images, factors = {"train": PackedImages(bits, (64, 64, 1))}, {"train": grid(sizes)}
data = Dataset("noise", "v", "s", images, 1, factors=factors, factor_names=names, factor_sizes=sizes)
with tempfile.TemporaryDirectory() as folder:
    tools = Tools(lambda name: locatello2019, lambda name: data, folder + "/results", folder + "/work", verbose=0)
    run(Settings(study="bench", dataset="noise", method="vae", network="locatello2019", latent_dim=10, batch_size=64, steps=100,
        gamma=20), tools)
print(peak_mebibytes())
"""


def bench_disentangle(network):
    """A training step with its input beside PyTorch's; what the discriminator adds; MIG and FactorVAE; memory of a training."""
    bits = np.random.default_rng(0).integers(0, 256, (2000, 512), dtype=np.uint8)
    functions = {name: keras_step(network, bits, gamma) for name, gamma in (("keras", 0.0), ("keras with gamma", 20.0))}
    functions["products"] = _products()
    try:
        functions |= _torch_steps(bits)
    except ImportError:
        yield "PyTorch is not installed (pip install -e .[bench]): its steps are left out"
    seconds = take_turns(functions, rounds=12)
    for name, values in seconds.items():
        yield f"{name}: {1e3 * statistics.median(values):.0f} ms"
    others = [name for name in seconds if name.startswith("torch")]
    if others:
        best = min(others, key=lambda name: statistics.median(seconds[name]))
        yield f"Keras step / best PyTorch step ({best}): {ratio(seconds, 'keras', best):.2f} (aim 0.70 or less)"
    pairs = zip(*(seconds[name] for name in ("keras with gamma", "keras", "products")))
    added = statistics.median((with_gamma - without) / products for with_gamma, without, products in pairs)
    yield f"what the discriminator adds / its own matrix products and Adam: {added:.2f} (aim 1 or less)"
    yield from _scores(network)
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, cwd=ROOT)
    yield f"memory of a training with gamma on 737,280 images: {float(done.stdout.split()[-1]) / 954:.2f} GB (aim 2.5 or less)"


def _batch(bits, rng):
    """A random batch of images (B, 64, 64, 1), unpacked."""
    return np.unpackbits(bits[rng.integers(0, len(bits), BATCH)], axis=1).reshape(-1, 64, 64, 1).astype(np.float32)


def keras_step(network, bits, gamma=0.0, method="vae", **settings):
    """A training step on a new batch each time, run to its end."""
    import tensorflow as tf

    import echo_tf

    penalties = [echo_tf.TotalCorrelation(gamma)] if gamma else ()
    model = echo_tf.make_method(method, network.encoder, network.decoder, latent_dim=LATENTS, penalties=penalties, **settings)
    model.compile(echo_tf.FusedAdam(1e-4))
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)

    @tf.function(input_signature=[tf.TensorSpec((BATCH, 64, 64, 1))])
    def step(x):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, None, model(x, training=True), None)
        model.optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
        return loss

    return lambda: step(_batch(bits, rng)).numpy()


def _products():
    """The matrix products of a discriminator's step and its Adam: two passes forward and three back, and nothing between."""
    import tensorflow as tf

    from echo_tf.optimizers import adam_step

    sizes = (LATENTS, *(UNITS,) * 6, 2)
    shapes = list(zip(sizes, sizes[1:]))
    weights, *moments = ([tf.Variable(tf.zeros(shape) + 1e-3) for shape in shapes] for _ in range(3))
    # variables, of which nothing is folded and no two products are one
    inputs = [[tf.Variable(tf.random.uniform((BATCH, rows))) for _ in range(2)] for rows, _ in shapes]
    deltas = [[tf.Variable(tf.random.uniform((BATCH, columns))) for _ in range(3)] for _, columns in shapes]

    @tf.function
    def run():
        total = 0.0
        for i, weight in enumerate(weights):
            total += sum(tf.reduce_sum(tf.matmul(h, weight)) for h in inputs[i])
            total += sum(tf.reduce_sum(tf.matmul(delta, weight, transpose_b=True)) for delta in deltas[i])
            gradient = sum(tf.matmul(h, delta, transpose_a=True) for h, delta in zip(inputs[i], deltas[i]))
            adam_step(weight, [m[i] for m in moments], gradient, 1, 1e-9, 0.5, 0.9, 1e-8)
        return total

    return lambda: run().numpy()


def _torch_steps(bits):
    """Steps of the same VAE in PyTorch: eager and compiled, channels last and not."""
    import torch

    found = {}
    for layout in ("contiguous_format", "channels_last"):
        for compiled in (False, True):
            name = f"torch {'compiled' if compiled else 'eager'} {layout}"
            step = _torch_step(torch, bits, getattr(torch, layout), compiled)
            try:
                step()
            except Exception as error:  # torch.compile needs a C++ compiler at hand
                print(f"{name} is left out: {str(error).splitlines()[0]}", file=sys.stderr)
                continue
            found[name] = step
    return found


def _torch_step(torch, bits, layout, compiled):
    nn, rng = torch.nn, np.random.default_rng(0)
    torch.manual_seed(0)
    parts = []
    for before, after, kernel, padding in ((1, 32, 4, 1), (32, 32, 4, 1), (32, 64, 2, 0), (64, 64, 2, 0)):
        parts += [nn.Conv2d(before, after, kernel, 2, padding), nn.ReLU()]
    encoder = nn.Sequential(*parts, nn.Flatten(), nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, 2 * LATENTS))
    parts = [nn.Linear(LATENTS, 256), nn.ReLU(), nn.Linear(256, 1024), nn.ReLU(), nn.Unflatten(1, (64, 4, 4))]
    for before, after in ((64, 64), (64, 32), (32, 32)):
        parts += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.ReLU()]
    decoder = nn.Sequential(*parts, nn.ConvTranspose2d(32, 1, 4, 2, 1))
    model = nn.ModuleList([encoder, decoder]).to(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def loss_of(x):
        mean, log_variance = encoder(x).chunk(2, dim=1)
        logits = decoder(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))
        distortion = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))
        rate = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
        return (distortion + rate).mean()

    function = torch.compile(loss_of) if compiled else loss_of

    def step():
        x = torch.from_numpy(_batch(bits, rng)).permute(0, 3, 1, 2).contiguous(memory_format=layout)
        optimizer.zero_grad(set_to_none=True)
        loss = function(x)
        loss.backward()
        optimizer.step()
        return float(loss)

    return step


def _scores(network):
    """MIG and the FactorVAE score of one model's means, images looked up as they are asked for."""
    import echo_tf
    from echo_tf import disentangle

    model = echo_tf.make_method("vae", network.encoder, network.decoder, latent_dim=LATENTS)
    bits = np.random.default_rng(0).integers(0, 256, (int(np.prod(DATASET)), 512), dtype=np.uint8)

    def images(factors):
        rows = np.ravel_multi_index(tuple(factors.T), DATASET)
        return np.unpackbits(bits[rows], axis=1).reshape(-1, 64, 64, 1).astype(np.float32)

    started = time.perf_counter()
    encoded = disentangle.Encoded(SimpleNamespace(factor_sizes=DATASET, images=images), partial(model.encode, batch_size=512))
    represent = disentangle.representation(model, "mean", encoded.encode)
    disentangle.mutual_information_gap(represent, encoded)
    disentangle.factor_vae_score(represent, encoded)
    yield f"MIG and FactorVAE score of one model: {time.perf_counter() - started:.0f} s (aim 60 or less)"
