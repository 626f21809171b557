"""A picture of rate-distortion curves, by one call."""

from collections.abc import Mapping

import pandas as pd


def plot(curves: pd.DataFrame | Mapping[str, pd.DataFrame], axes=None, distortion: str = "distortion"):
    """Draws curves as `rate_distortion_curve` returns them, rates on a logarithmic axis; bands are two standard errors.

    Args:
        curves: one, or several by name.
        axes: of matplotlib; None: new ones.
        distortion: what to call the horizontal axis, with its unit.

    Returns:
        The axes.
    """
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.figure(figsize=(5, 4), layout="constrained").subplots()
    for name, curve in curves.items() if isinstance(curves, Mapping) else [("", curves)]:
        shown = curve[curve["rate_nats"] > 0]
        [line] = axes.plot(shown["distortion"], shown["rate_nats"], label=name)
        spread = 2 * shown["rate_standard_error_nats"]
        low = (shown["rate_nats"] - spread).clip(lower=shown["rate_nats"].min() / 2)
        axes.fill_between(shown["distortion"], low, shown["rate_nats"] + spread, color=line.get_color(), alpha=0.15, lw=0)
    axes.set(xlabel=distortion, ylabel="rate (nats per image)", yscale="log")
    if isinstance(curves, Mapping):
        axes.legend(frameon=False)
    return axes
