"""One picture of an analysis: how important each latent dimension is, and whether its norm is what it should be."""


def plot(table, axes=None):
    """Draws E[sigma^-2] of each dimension on a logarithmic axis, and norm and norm + sigma^2 on a second one.

    Args:
        table: of `analyse` or `analyse_echo`.
        axes: of matplotlib; None: new ones.

    Returns:
        (the axes, the second axes).

    Reference: isometric VAE paper, figures 4, 5, 24 and 25, which draw the norm and its standard deviation over images.
    """
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.figure(figsize=(6, 3.4), layout="constrained").subplots()
    index = range(1, len(table) + 1)
    [line] = axes.plot(index, table["inverse_variance"], color="#0072B2", linewidth=1.6, label="E[σ⁻²] (left)")
    axes.set(yscale="log", xlabel="latent dimension, by importance", ylabel="E[σ⁻²]")
    second = axes.twinx()
    second.axhline(1, color="#777777", linewidth=0.7)
    bars = {"fmt": "o", "color": "#D55E00", "markersize": 3, "linewidth": 0.8, "capsize": 1.5}
    norm = second.errorbar(index, table["norm"], table["norm_sd"], label="norm ± SD over images", **bars)
    [law] = second.plot(index, table["norm_plus_variance"], "x", color="#009E73", markersize=4, label="norm + σ²")
    second.set(ylabel="(2/β) σ² D′", ylim=(0, max(1.6, 1.1 * float((table["norm"] + table["norm_sd"]).max()))))
    second.spines["right"].set_visible(True)
    axes.legend(handles=[line, norm, law], frameon=False, fontsize=7, loc="lower left")
    return axes, second
