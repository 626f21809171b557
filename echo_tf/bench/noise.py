"""Speed and memory of Echo noise by the size of the code and of the batch: `run.py bench codes ring`."""

import json
import os
import statistics
import subprocess
import sys
from unittest import mock

from echo_tf.bench.timing import peak_mebibytes, take_turns

BATCH = 100  # the paper's batch size
CODE_SIZES = (32, 256, 1024, 4096)
LARGE_CODE = 65536
RING_SIZES = (2048, 4096, 8192, 16384)


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


def bench_ring(network):
    """Time and peak memory of one `ring` draw with its gradient, by batch size, each in a process of its own."""
    found = {size: json.loads(_child("ring", size)) for size in RING_SIZES}
    for size, values in found.items():
        yield f"batch {size}: {1e3 * values['seconds']:.1f} ms, {values['mebibytes']:.0f} MiB"
    for name in ("seconds", "mebibytes"):
        growth = [found[b][name] / found[a][name] for a, b in zip(RING_SIZES, RING_SIZES[1:])]
        yield f"growth in {name} per doubling: {', '.join(f'{g:.2f}' for g in growth)} (aim 2.3 or less)"


def _child(part, size):
    words = [sys.executable, "-m", "echo_tf.bench.noise", part, str(size)]
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


if __name__ == "__main__":
    _noise_child(sys.argv[1], int(sys.argv[2]))
