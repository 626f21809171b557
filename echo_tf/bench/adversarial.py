"""A step of a GAN with gradient penalty, beside the same step in PyTorch: `run.py bench gan`."""

import statistics

import keras
import numpy as np

from echo_tf.bench.timing import ratio, take_turns

BATCH, LATENTS, HIDDEN, PIXELS, DEPTH = 64, 10, 1024, 784, 3
RATE, BETAS, WEIGHT = 2e-4, (0.5, 0.999), 10.0


def bench_gan(network):
    """A step of the GAN of ais/gan_models (codes of 10, MNIST's shape), discriminator and generator, penalty included."""
    functions = {"keras": keras_step()}
    try:
        import torch

        functions |= {"torch": torch_step(torch, fused=False), "torch, fused Adam": torch_step(torch, fused=True)}
    except ImportError:
        yield "PyTorch is not installed (pip install -e .[bench]): its step is left out"
    seconds = take_turns(functions, rounds=15)
    for name, values in seconds.items():
        yield f"{name}: {1e3 * statistics.median(values):.0f} ms a step at batch {BATCH}"
    rivals = [name for name in seconds if name != "keras"]
    if rivals:
        best = min(rivals, key=lambda name: statistics.median(seconds[name]))
        yield f"Keras step / best PyTorch step ({best}): {ratio(seconds, 'keras', best):.2f} (aim 1.0 or less)"


def keras_step():
    """A function that takes one training step, to its end."""
    import tensorflow as tf

    from echo_tf.adversarial import GenerativeAdversarialNetwork
    from echo_tf.optimizers import FusedAdam

    keras.utils.set_random_seed(0)
    layers = keras.layers
    hidden = [layers.Dense(HIDDEN, "tanh") for _ in range(DEPTH)]
    generator = keras.Sequential([keras.Input((LATENTS,)), *hidden, layers.Dense(PIXELS, "sigmoid")])
    hidden = [layer for _ in range(DEPTH) for layer in (layers.Dense(HIDDEN), layers.LeakyReLU(0.2))]
    discriminator = keras.Sequential([keras.Input((PIXELS,)), *hidden, layers.Dense(1)])
    model = GenerativeAdversarialNetwork(generator, discriminator, penalty_weight=WEIGHT)
    model.compile(FusedAdam(RATE, *BETAS), discriminator_optimizer=FusedAdam(RATE, *BETAS))
    x = tf.constant(np.random.default_rng(0).random((BATCH, PIXELS)), tf.float32)
    step = tf.function(lambda: model.train_step((x,))["loss"])
    return lambda: step().numpy()


def torch_step(torch, fused):
    """The same step in eager PyTorch."""
    from torch import nn

    torch.manual_seed(0)
    sizes = [LATENTS, *[HIDDEN] * DEPTH]
    hidden = [part for pair in zip(sizes, sizes[1:]) for part in (nn.Linear(*pair), nn.Tanh())]
    generator = nn.Sequential(*hidden, nn.Linear(HIDDEN, PIXELS), nn.Sigmoid())
    sizes = [PIXELS, *[HIDDEN] * DEPTH]
    hidden = [part for pair in zip(sizes, sizes[1:]) for part in (nn.Linear(*pair), nn.LeakyReLU(0.2))]
    discriminator = nn.Sequential(*hidden, nn.Linear(HIDDEN, 1))
    optimizers = [torch.optim.Adam(net.parameters(), RATE, BETAS, fused=fused) for net in (generator, discriminator)]
    x, softplus = torch.rand(BATCH, PIXELS), nn.functional.softplus

    def step():
        fakes = generator(torch.randn(BATCH, LATENTS))
        fixed = fakes.detach()
        optimizers[1].zero_grad()
        between = (x + torch.rand(BATCH, 1) * (fixed - x)).requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
        penalty = ((gradient.square().sum(1) + 1e-12).sqrt() - 1).square().mean()
        telling = softplus(-discriminator(x)).mean() + softplus(discriminator(fixed)).mean()
        (telling + WEIGHT * penalty).backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        discriminator.requires_grad_(False)  # so that its weights get no gradient here
        passing = softplus(-discriminator(fakes)).mean()
        passing.backward()
        discriminator.requires_grad_(True)
        optimizers[0].step()
        return (telling + passing).item()

    return step
