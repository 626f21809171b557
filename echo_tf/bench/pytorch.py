"""The paper's network and training step beside PyTorch's: `run.py bench torch`."""

import statistics

from echo_tf.bench.timing import ratio, take_turns
from echo_tf.bench.training import random_images, training_step


def bench_torch(network):
    """The same network and step in PyTorch: eager and compiled, channels last and not."""
    try:
        import torch
    except ImportError:
        yield "skipped: PyTorch is not installed (pip install -e .[bench])"
        return
    images = random_images()
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
