"""Figures 11 to 20 of the isometric VAE paper: norms, variance ratios and correlations with p(x) by lambda."""

from pathlib import Path

from echo_tf.figures import style
from echo_tf.tables.isometric_toys import IN_TABLES, LATENTS, alike, file_name, trainings

COLORS = (style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE, style.ORANGE)
MARKERS = ("o", "s", "^", "D", "v")
CORRELATIONS = {
    "prior": "p(μ)",
    "bound": "exp(−L/β)",
    "posterior_unweighted": "p(μ) Π σ",
    "posterior": "$a^{n/2}$ p(μ) Π σ",
    "objective": "$a^{n/2}$ exp(−L/β)",
}
OF_SQUARE = ("prior", "bound", "posterior")
STD = "_std_over_seeds"
IDEAL = {"ratio_z2": 4.0, "ratio_z3": 16.0}


def write(material):
    """Draws <source>_<loss>_<preset> of each group, means over seeds, and <preset>_ratios; returns the paths of the PNGs.

    Groups are of equal settings; those that differ in others than these have them in their names.
    """
    every = trainings(material)
    if every.empty:
        return []
    every = every[every["weights"] == "averaged"]
    folder, paths = Path(material.results, "figures", material.study), []
    for names, rows in alike(every, ["source", "loss", "preset"]):
        source, loss, *preset = names
        table = _over_seeds(rows, ["multiplier"])
        shown = OF_SQUARE if loss == "square" else tuple(CORRELATIONS)
        figure = style.drawn(_draw, table, shown, f"{source}, {loss}, preset {', '.join(preset)}{_seeds(rows)}")
        columns = [c for c in table if c.startswith(("multiplier", "norm_z", "ratio_", "correlation_"))]
        paths.append(style.save(figure, folder / file_name(*names), {"": table[columns]}))
    for preset, rows in alike(every[every["multiplier"] == IN_TABLES], ["preset"]):
        table = _over_seeds(rows, ["source", "loss"])
        table = table[["source", "loss", *(name for name in table if name.startswith(tuple(IDEAL)))]]
        title = f"λ = {IN_TABLES:g}, preset {', '.join(preset)}{_seeds(rows)}"
        figure = style.drawn(_draw_ratios, table, title)
        paths.append(style.save(figure, folder / file_name(*preset, "ratios"), {"": table}))
    return paths


def _over_seeds(rows, keys):
    """Means over seeds and, where there are several, `<name>_std_over_seeds`."""
    groups = rows.drop(columns="seed").groupby(keys, sort=keys == ["multiplier"])
    table, spread = groups.mean(numeric_only=True), groups.std(numeric_only=True).add_suffix(STD)
    return table.join(spread.dropna(axis="columns", how="all")).reset_index()


def _seeds(rows):
    number = rows["seed"].nunique()
    return f", {style.of_seeds(number)}" + (", bars: ± SD over seeds" if number > 1 else "")


def _draw(table, shown, title):
    figure = style.new_figure(9, 2.9)
    figure.suptitle(title, fontsize=10)
    norms, ratios, correlations = figure.subplots(1, 3)
    for latent, color, marker in zip(LATENTS, COLORS, MARKERS):
        _line(norms, table, f"norm_{latent}", color, marker, latent)
    norms.axhline(1, color=style.GREY, linewidth=0.8)
    norms.set(ylabel="(2/β) σ² D′", ylim=(0, 1.4))
    for (name, ideal), color, marker in zip(IDEAL.items(), COLORS[1:], MARKERS[1:]):
        _line(ratios, table, name, color, marker, f"Var({name[-2:]}) / Var(z1)")
        ratios.axhline(ideal, color=color, linewidth=0.8, linestyle=(0, (1, 1)))
    ratios.set(ylabel="ratio of estimated variances", ylim=(0, None))
    for name, color, marker in zip(shown, COLORS, MARKERS):
        _line(correlations, table, f"correlation_{name}", color, marker, CORRELATIONS[name])
    correlations.set(ylabel="R with p(x)", ylim=(min(0, table[f"correlation_{shown[0]}"].min()), 1.02))
    for axes in (norms, ratios, correlations):
        axes.set(xscale="log", xlabel="λ")
        axes.legend(frameon=False, fontsize=7)
    return figure


def _line(axes, table, name, color, marker, label):
    look = {"color": color, "marker": marker, "markersize": 3.5, "linewidth": 1.2, "elinewidth": 0.8, "capsize": 1.5}
    axes.errorbar(table["multiplier"], table[name], table.get(name + STD), **look, label=label)


def _draw_ratios(table, title):
    figure = style.new_figure(6.4, 3.2)
    figure.suptitle(title, fontsize=10)
    losses = list(dict.fromkeys(table["loss"]))
    for axes, (name, ideal) in zip(figure.subplots(1, 2), IDEAL.items()):
        for i, (loss, color) in enumerate(zip(losses, COLORS)):
            part = table[table["loss"] == loss]
            places = [list(dict.fromkeys(table["source"])).index(source) + 0.25 * (i - 1) for source in part["source"]]
            bars = {"width": 0.22, "error_kw": {"elinewidth": 0.8}, "capsize": 2}
            axes.bar(places, part[name], yerr=part.get(name + STD), color=color, label=loss, **bars)
        axes.axhline(ideal, color=style.GREY, linewidth=0.8, label="ideal")
        sources = list(dict.fromkeys(table["source"]))
        axes.set_xticks(range(len(sources)), sources)
        axes.set_ylabel(f"Var({name[-2:]}) / Var(z1)")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure
