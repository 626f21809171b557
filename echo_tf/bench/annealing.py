"""Speed and memory of annealing, beside the matrix product and the same loop in PyTorch: `run.py bench ais`."""

import statistics
import subprocess
import sys

import numpy as np

from echo_tf.bench.timing import ratio, take_turns

PARTICLES = 800
STEPS = 20  # of the leapfrog integrator
LATENTS, HIDDEN, PIXELS = 10, 1024, 784
MULTIPLY_ADDS = LATENTS * HIDDEN + 2 * HIDDEN**2 + HIDDEN * PIXELS  # of one decoding
GRADIENT_GFLOP = 4e-9 * MULTIPLY_ADDS * PARTICLES  # there and back, with respect to z alone
MANY = 2_000  # particles of the measurement of memory

MEMORY = """
from echo_tf.bench import annealing
from echo_tf.bench.timing import peak_mebibytes
annealing.round_of({particles})()
print(peak_mebibytes())
"""


def bench_ais(network):
    """Gradients of annealed chains beside float32 matrix products, and beside an eager loop in PyTorch; memory."""
    import tensorflow as tf

    a, b = tf.random.normal((PARTICLES, HIDDEN)), tf.random.normal((HIDDEN, HIDDEN))
    product = tf.function(lambda a, b: tf.matmul(a, b))
    functions = {"chains": round_of(PARTICLES), "product": lambda: [product(a, b) for _ in range(100)][-1].numpy()}
    try:
        functions["torch"] = _torch_loop()
    except ImportError:
        yield "PyTorch is not installed (pip install -e .[bench]): its loop is left out"
    seconds = take_turns(functions, rounds=7, warm_up=1)
    product_gflop = 100 * 2e-9 * PARTICLES * HIDDEN**2
    rates = {"chains": STEPS * GRADIENT_GFLOP, "product": product_gflop}
    for name, gflop in rates.items():
        yield f"{name}: {gflop / statistics.median(seconds[name]):.0f} GFLOP/s"
    share = statistics.median(rates["chains"] / s / (product_gflop / p) for s, p in zip(seconds["chains"], seconds["product"]))
    yield f"gradients of {PARTICLES} chains ({LATENTS}-1024^3-784) / matrix product, in GFLOP/s: {share:.2f} (aim 0.80 or more)"
    if "torch" in functions:
        yield f"eager PyTorch's time / ours: {ratio(seconds, 'torch', 'chains'):.2f} (aim 2 or more)"
    command = [sys.executable, "-c", MEMORY.format(particles=MANY)]
    done = subprocess.run(command, capture_output=True, text=True)
    peak = float(done.stdout.split()[-1]) * 2**20
    yield f"memory of a process with {MANY:,} particles: {peak / 1e9:.2f} GB (aim 1.5 or less)"


def round_of(particles):
    """A function that takes `STEPS` steps of one gradient each, to their end."""
    import keras
    import tensorflow as tf

    from echo_tf.ais import Sampler, Target
    from echo_tf.ais.steps import compiled

    layers = [keras.layers.Dense(HIDDEN, "tanh") for _ in range(3)]
    decoder = keras.Sequential([keras.Input((LATENTS,)), *layers, keras.layers.Dense(PIXELS, "sigmoid")])
    images = np.random.default_rng(0).random((10, PIXELS)).astype(np.float32)
    target, chains = Target(decoder, images), particles // 10
    sampler = Sampler("persistent", 1, 0.95, acceptance=0.9)
    run = compiled(target, sampler, chains, True, True)
    all_images = target.tiled(chains)
    z = target.sample_prior(particles, (0, 0))
    state = [*target.at(z, all_images), tf.zeros_like(z), tf.zeros((particles,), tf.float64)]
    state += [tf.fill((10,), 0.01), tf.ones((10,))]
    betas, table = tf.linspace(tf.constant(0.0, tf.float64), 1.0, STEPS + 1), tf.zeros((STEPS, 0))
    return lambda: run(state, all_images, betas, table, tf.zeros((0, 0)), tf.constant([STEPS, 0, 0]))[1][0].numpy()


def _torch_loop():
    """As many leapfrog steps of the same decoder in eager PyTorch, without the bookkeeping of weights."""
    import torch

    torch.manual_seed(0)
    sizes = [LATENTS, HIDDEN, HIDDEN, HIDDEN, PIXELS]
    weights = [torch.randn(a, b) / a**0.5 for a, b in zip(sizes, sizes[1:])]
    images = torch.rand(PARTICLES, PIXELS)

    def gradient(z):
        z = z.detach().requires_grad_()
        h = z
        for w in weights[:-1]:
            h = torch.tanh(h @ w)
        energy = ((torch.sigmoid(h @ weights[-1]) - images) ** 2).sum() + 0.5 * (z**2).sum()
        return torch.autograd.grad(energy, z)[0]

    def loop():
        z, m = torch.zeros(PARTICLES, LATENTS), torch.randn(PARTICLES, LATENTS)
        for _ in range(STEPS):
            m = m - 0.01 * gradient(z)
            z = z + 0.01 * m
        return float(z.sum())

    return loop
