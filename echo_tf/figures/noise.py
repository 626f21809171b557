"""Figure 1 of the Echo paper: Echo noise beside Gaussian noise on a source that one can see. No training, no records."""

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from echo_tf.figures import style

NEEDS_KERAS = True
NUM_POINTS = 3_000
SCALE = 0.5  # s: the terms of the noise halve, so that 25 reach machine precision
NUM_TERMS = 30
TESTED = 1_500  # noises and outputs compared, from separate halves of the points
PERMUTATIONS = 999


def corners(n, rng):
    """n points around the corners of a triangle, |x_j| <= 1, shape (n, 2).

    At s = 1/2 the sum of echoes of three points is Sierpinski's triangle: structure that no Gaussian has.
    """
    angle = np.pi / 2 + 2 * np.pi / 3 * rng.integers(0, 3, n)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.02, (n, 2))
    return points / np.abs(points).max()


def channels(x, rng):
    """Noise and output z = x + s noise of an Echo channel with identity f, and of a Gaussian one.

    The Gaussian noise has the mean and covariance of Echo's, so that shape alone sets the two apart.

    Returns:
        {"Echo": (noise, z), "Gaussian": (noise, z)}, each (n, 2).
    """
    from echo_tf.noise import echo_noise  # Keras, which no other figure needs

    log_scale = np.full(x.shape, np.log(SCALE), np.float32)
    echo = np.asarray(echo_noise(x.astype(np.float32), log_scale, NUM_TERMS, seed=int(rng.integers(2**31))), np.float64)
    gaussian = rng.multivariate_normal(echo.mean(axis=0), np.cov(echo.T), len(x))
    return {"Echo": (echo, x + SCALE * echo), "Gaussian": (gaussian, x + SCALE * gaussian)}


def energy_test(a, b, rng, permutations=PERMUTATIONS):
    """The energy distance of two samples and the share of random relabellings whose distance is at least theirs.

    2 E|A - B| - E|A - A'| - E|B - B'|, 0 for equal laws only. Source: Szekely and Rizzo, "Testing for equal
    distributions in high dimension", InterStat 5 (2004).

    Returns:
        (distance, in units of the samples; p-value).
    """
    both = np.concatenate([a, b])
    distances = cdist(both, both)
    first = np.arange(len(both)) < len(a)
    labels = np.stack([first, *(rng.permutation(first) for _ in range(permutations))], axis=1).astype(float)
    inside = (labels * (distances @ labels)).sum(axis=0)
    across = (labels * (distances @ (1 - labels))).sum(axis=0)
    outside = distances.sum() - inside - 2 * across
    found = 2 * across / (len(a) * len(b)) - inside / len(a) ** 2 - outside / len(b) ** 2
    return float(found[0]), float((found >= found[0] * (1 - 1e-12)).mean())


def write(material):
    """Writes <study>.png, .pdf, the points as .csv and the tests as _tests.csv below results/figures; returns its path."""
    rng = np.random.default_rng(0)
    x = corners(NUM_POINTS, rng)
    drawn = channels(x, rng)
    points = {"x1": x[:, 0], "x2": x[:, 1]}
    tests = []
    for name, (noise, z) in drawn.items():
        for what, values in (("noise", noise), ("output", z)):
            points |= {f"{name.lower()}_{what}{j + 1}": values[:, j] for j in range(2)}
        distance, p_value = energy_test(noise[:TESTED], z[-TESTED:], rng)
        tests.append({"channel": name, "samples": TESTED, "energy_distance": distance, "p_value": p_value})
    tests = pd.DataFrame(tests)
    figure = style.drawn(_draw, x, drawn, tests)
    stem = f"{material.results}/figures/{material.study}"
    return [style.save(figure, stem, {"": pd.DataFrame(points), "_tests": tests})]


def _draw(x, drawn, tests):
    figure = style.new_figure(7, 6.1)
    panels = figure.subplots(2, 3, sharey=True)
    reach = 1.15 * np.abs(drawn["Echo"][1]).max()  # a few of the Gaussian points lie outside
    colors = (style.BLUE, style.VERMILLION)
    for row, (name, (noise, z)), color, test in zip(panels, drawn.items(), colors, tests.itertuples()):
        titles = ("source x", f"{name} noise ε", f"output z = x + {SCALE:g} ε")
        for axes, letter, values, shade, title in zip(row, "xεz", (x, noise, z), (style.BLACK, color, color), titles):
            axes.scatter(*values.T, s=1.6, color=shade, alpha=0.6, linewidths=0, rasterized=True)
            axes.set(title=title, aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach))
            axes.set(xlabel=f"first coordinate of {letter}", ylabel=f"second coordinate of {letter}")
        least = 1 / (PERMUTATIONS + 1)
        chance = f"p = {test.p_value:.3f}" if test.p_value > least else f"p ≤ {least:.3f}"
        found = f"energy distance between ε and z: {test.energy_distance:.4f} ({chance}; {TESTED:,} draws of each)"
        row[1].set_xlabel(f"{row[1].get_xlabel()}\n\n{found}")
    return figure
