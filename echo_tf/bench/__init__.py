"""Speed, measured on the machine at hand: `run.py bench`.

Machines drift, so things that are compared take turns, and ratios are medians of neighbouring pairs.
"""

import sys

from echo_tf.bench import adversarial, annealing, commands, disentangling, noise, pytorch, training
from echo_tf.runs import surroundings

PARTS = {
    "ais": annealing.bench_ais,
    "disentangle": disentangling.bench_disentangle,
    "gan": adversarial.bench_gan,
    "step": training.bench_step,
    "checks": training.bench_checks,
    "codes": noise.bench_codes,
    "bfloat16": training.bench_bfloat16,
    "methods": training.bench_methods,
    "vamp": training.bench_vamp,
    "fit": training.bench_fit,
    "study": commands.bench_study,
    "torch": pytorch.bench_torch,
    "ring": noise.bench_ring,
    "commands": commands.bench_commands,
}


def main(network, only=(), others=()):
    """Prints the figures of the parts `only` (all if empty) and returns the exit status.

    Args:
        network: the module of the architecture that most parts are of.
        others: {part: module} of those that are of another.
    """
    unknown = set(only) - set(PARTS)
    if unknown:
        print(f"run.py: bench has the parts {', '.join(PARTS)}, got {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    found = surroundings.describe()
    print(f"machine: {found['hardware']['processor']}, {found['hardware']['cores']} cores; backend {found['backend']}")
    for name, part in PARTS.items():
        if not only or name in only:
            for line in part(dict(others).get(name, network)):
                print(f"{name:9} {line}", flush=True)
    return 0
