"""What all parts share: functions that take turns, and the memory of a process."""

import statistics
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 25


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


def peak_mebibytes():
    """The most memory that this process has held. (What getrusage says of it may be its parent's.)"""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
