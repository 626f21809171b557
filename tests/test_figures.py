import shutil

import matplotlib
import matplotlib.font_manager
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial import ConvexHull
from scipy.stats import energy_distance

from echo_tf import analysis, figures
from echo_tf.errors import InputError
from echo_tf.figures import annealed, information, isometric_ablation, noise, rate_distortion, samples, style
from echo_tf.gaussianity import dimensions_shown, gaussianity_of
from echo_tf.runs import records
from echo_tf.runs.settings import from_recorded
from echo_tf.runs.studies import Study
from echo_tf.tables import annealed_curves
from tests.test_tables import make_record, write_tables

assert matplotlib.font_manager  # found once, so that no test's time has it


def at(rate, distortion, method="vae", beta=1.0, seed=0, **settings):
    record = make_record(rate + distortion, seed, method, beta, **settings)
    values = {"rate_nats": rate, "distortion_nats": distortion}
    for name, value in values.items():
        record["test"]["metrics"][name]["mean"] = value
    record["examples"]["samples"] = record["examples"]["images"]
    return record


def put(results, record, suffix=""):
    c = record["config"]
    folder = results / "runs" / c["study"] / c["dataset"] / c["method"]
    path = folder / f"beta{c['beta']:g}_seed{c['seed']}{suffix}.json"
    records.write(path, record)
    return path


def result(record):
    return records.Result("", record, from_recorded(record["config"]))


def draw(results, name="echo/table1"):
    study = Study(study=name, description="d", base={"epochs": 1}, kind="echo_analysis")  # asks for the figures of analyses too
    return figures.write(results, name, records.read_all(results), study)


def draw_noise(results):
    study = Study(study="echo/noise", description="d", tables=[], figures=["noise"])
    return figures.write(results, "echo/noise", [], study)[0]


def make_analysis(n=300, d=14):
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.normal(size=(n, d - 1)), rng.random((n, 1))], axis=1)
    rates = np.linspace(2, 0.2, d).astype(np.float32)
    shown = dimensions_shown(rates, 0.2)
    grid = np.linspace(-4, 4, 41) * np.ones((len(shown), 1))
    found = {"dimension_rate_nats": rates, "shown_dimension": shown, "density_codes": np.array(2000 * n)}
    found |= {"shown_mean": np.zeros(len(shown)), "shown_std": np.ones(len(shown)), "density_at": grid}
    found |= {"density": np.exp(-(grid**2)), **gaussianity_of(codes, 100)}
    for name, value in (("noise", 3.0), ("code", 3.1), ("code_minus_noise", 0.1)):
        found[f"total_correlation_{name}_nats"] = np.array(value)
        found[f"total_correlation_{name}_standard_error_nats"] = np.array(0.03)
    found |= {"total_correlation_draws": np.array(200_000), "image": np.arange(n)}
    found |= {"log_likelihood_nats": np.sort(rng.normal(-90, 10, n)), "pointwise_rate_nats": rng.normal(25, 1, n)}
    return found | {"loc_norm": rng.random(n)}


def put_analysed(results, seed=0, dataset="binary_mnist", **settings):
    record, found = at(26, 64, "echo", 1.0, seed, dataset=dataset, **settings), make_analysis()
    name = f"beta1_seed{seed}.analysis.npz"
    record["analysis"] = {"file": name, **analysis.key_numbers(found)}
    records.write_arrays(put(results, record).with_name(name), found)
    return found


@pytest.fixture
def results(tmp_path):
    """Two methods, three values of beta, two seeds, and an analysed Echo run."""
    results = tmp_path / "results"
    for seed in (0, 1):
        for beta, rate, distortion in ((0.3, 40, 60), (1.0, 26, 64), (3.0, 12, 85)):
            put(results, at(rate + seed, distortion - seed, "echo", beta, seed))
            put(results, at(rate - 5 + seed, distortion + 5, "vae", beta, seed))
    put_analysed(results)
    return results


def test_the_lower_hull_is_the_falling_part_of_scipy_s_convex_hull():
    for seed in range(20):
        points = np.random.default_rng(seed).normal(size=(40, 2))
        vertices = points[ConvexHull(points).vertices]  # counter-clockwise
        low = vertices[np.lexsort((vertices[:, 1], vertices[:, 0]))][0]
        start = int(np.flatnonzero((vertices == low).all(axis=1))[0])
        around = np.roll(vertices, -start, axis=0)
        falling = 1 + int(np.argmin(around[:, 1]))
        np.testing.assert_array_equal(points[rate_distortion.lower_hull(points)], around[:falling])


def test_the_lower_hull_leaves_out_what_another_point_beats_and_points_between():
    points = np.array([[0, 4], [1, 3], [2, 2], [3, 2], [4, 0], [0, 5], [5, 1], [0, 4]], float)
    kept = rate_distortion.lower_hull(points)
    assert [tuple(points[i]) for i in kept] == [(0, 4), (4, 0)]
    assert rate_distortion.lower_hull(np.array([[1.0, 1.0]])) == [0]


def test_reconstructions_are_compared_at_rates_within_15_percent_or_left_out():
    found = [result(at(rate, 100 - rate, "echo", beta)) for beta, rate in ((0.1, 50), (1, 24), (2, 12), (6, 6))]
    found += [result(at(rate, 105 - rate, "vae", beta)) for beta, rate in ((0.3, 45), (1, 22), (4, 10), (9, 1))]
    targets, chosen = rate_distortion.at_similar_rates(found)
    np.testing.assert_allclose(targets, [23, 47.5])  # 12 and 10 differ by a fifth, 6 and 1 by more
    betas = {method: [found.settings.beta for found in runs] for method, runs in chosen.items()}
    assert betas == {"Echo, as published": [1, 0.1], "VAE": [1, 0.3]}
    found.append(result(at(23, 60, "vae-maf", 1)))
    targets, chosen = rate_distortion.at_similar_rates(found)
    assert [record is None for record in chosen["VAE-MAF"]] == [False, True]


def test_methods_of_one_rate_each_are_shown_once_and_others_not_at_all():
    targets, chosen = rate_distortion.at_similar_rates([result(at(26, 60, "echo")), result(at(25, 60, "vae"))])
    assert list(targets) == [25.5] and all(len(runs) == 1 for runs in chosen.values())
    targets, chosen = rate_distortion.at_similar_rates([result(at(26, 60, "echo")), result(at(10, 60, "vae"))])
    assert len(targets) == 0 and chosen == {}
    rate_distortion._draw(
        rate_distortion.points_of([[result(at(26, 60, "echo"))], [result(at(10, 60, "vae"))]]), targets, chosen, "none alike"
    )


def test_a_beta_stands_at_every_point_and_nothing_covers_it(results):
    points = rate_distortion.points_of(records.by_law(records.read_all(results)))
    figure = style.drawn(rate_distortion._draw, points, np.array([]), {}, "")
    (axes,) = figure.axes
    labels = [text for text in axes.texts if text.get_text().startswith("β=")]
    assert len(labels) == len(points)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in labels]
    legend = axes.get_legend().get_window_extent(renderer)
    for i, box in enumerate(boxes):
        assert not box.overlaps(legend)
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_every_figure_that_the_records_allow_is_written_with_its_numbers(results):
    paths = draw(results)
    folder = results / "figures/echo/table1"
    run = "binary_mnist_beta1_seed0_short"
    names = [f"{run}_marginals", f"{run}_information", "binary_mnist_short_rate_distortion", "binary_mnist_short_samples"]
    assert paths == [folder / f"{name}.png" for name in names]
    for path in paths:
        assert path.read_bytes()[:4] == b"\x89PNG" and path.with_suffix(".pdf").read_bytes()[:4] == b"%PDF"
        assert len(pd.read_csv(path.with_suffix(".csv")))


def test_the_curve_s_csv_holds_its_points_errors_and_hull(results):
    *_, path, _ = draw(results)
    csv = pd.read_csv(path.with_suffix(".csv"))
    assert len(csv) == 6 and list(csv["runs"]) == [2] * 6
    echo = csv[csv["method"] == "echo"]
    assert list(echo["rate_nats"]) == [12.5, 26.5, 40.5] and list(echo["distortion_nats"]) == [84.5, 63.5, 59.5]
    np.testing.assert_allclose(csv["rate_std_over_seeds_nats"], np.std([0, 1], ddof=1), rtol=1e-5)
    assert list(echo["rate_floor_nats"]) == [5.737] * 3 and csv[csv["method"] == "vae"]["rate_floor_nats"].isna().all()
    points = csv[["rate_nats", "distortion_nats"]].to_numpy()
    assert list(csv.index[csv["on_lower_hull"]]) == sorted(rate_distortion.lower_hull(points))
    shown = pd.read_csv(str(path).replace(".png", "_reconstructions.csv"))
    assert (shown.groupby("target_rate_nats")["rate_nats"].agg(lambda r: r.max() / r.min()) <= 1.15).all()


def curves_of(points):
    figure = style.new_figure(7, 5)
    axes = figure.subplots()
    rate_distortion._draw_curves(figure, axes, points)
    return axes


def points_from(*every):
    return rate_distortion.points_of(records.by_law([result(one) for one in every]))


def test_no_two_curves_of_a_method_look_the_same():
    every = [at(20 + i + b, 70 - b, "echo", b, variant=f"number{i}", num_terms=i + 1) for i in range(6) for b in (0.5, 2.0)]
    lines = [container.lines[0] for container in curves_of(points_from(*every)).containers]
    assert len({(line.get_marker(), line.get_markerfacecolor()) for line in lines}) == len(lines) == 6


def test_a_collapsed_run_is_named_below_and_does_not_set_the_scale():
    every = [
        at(rate, distortion, method) for method, rate, distortion in (("echo", 25, 65), ("vae", 27, 66), ("info-vae", 0, 206))
    ]
    axes = curves_of(points_from(*every))
    assert axes.get_ylim()[1] < 80 and axes.get_xlim()[0] > 20
    assert "InfoVAE: 0.0, 206.0" in axes.get_xlabel() and len(axes.containers) == 2


def test_what_the_bars_are_and_of_how_many_seeds_is_said():
    one, two = at(25, 65, "vae"), at(26, 64, "vae", seed=1)
    assert rate_distortion._said(points_from(one)) == ["β = 1", "one seed", "bars: ± 2 SE over images"]
    assert rate_distortion._said(points_from(one, two)) == ["β = 1", "2 seeds", "bars: ± SD over seeds"]
    mixed = points_from(one, two, at(20, 70, "echo"))
    assert rate_distortion._said(mixed) == ["β = 1", "bars: ± SD over seeds"]
    labels = [container.get_label() for container in curves_of(mixed).containers]
    assert labels == ["Echo, as published (one seed)", "VAE (2 seeds)"]
    [bars] = curves_of(points_from(one)).containers
    reach = np.array(bars.lines[2][1].get_segments())[0, :, 1]  # of distortion
    assert np.ptp(reach) == pytest.approx(4 * 0.1) and bars.has_yerr


def test_labels_of_beta_stand_apart_and_within_the_axes():
    rates = (5, 6, 7, 12, 30, 60)
    every = [at(rate, c / rate**0.5, method, 10 / rate) for method, c in (("echo", 200), ("vae", 220)) for rate in rates]
    axes = curves_of(points_from(*every))
    texts = [text for text in axes.texts if text.get_text().startswith("β")]
    renderer = axes.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in texts]
    assert len(boxes) == 12
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert all(axes.bbox.containsx(box.x1) and axes.bbox.containsx(box.x0) for box in boxes)


def test_a_drawing_error_names_matplotlib_and_no_records():
    def draw():
        raise TypeError("unexpected keyword")

    with pytest.raises(style.DrawingError) as caught:
        style.drawn(draw)
    said = str(caught.value)
    assert matplotlib.__version__ in said and "unexpected keyword" in said and "remove" not in said and "\n" not in said
    assert isinstance(caught.value, InputError)  # one line, no traceback


def test_a_figure_that_fails_is_no_fault_of_the_records(results, monkeypatch):
    monkeypatch.setattr(rate_distortion, "_draw_bounds", lambda axes: axes.no_such_thing())
    with pytest.raises(style.DrawingError, match="'rate_distortion' cannot be drawn with matplotlib .*no_such_thing"):
        draw(results)


def test_what_is_drawn_is_what_the_csv_says(results):
    points = rate_distortion.points_of(records.by_law(records.read_all(results)))
    axes = curves_of(points)
    lines = {container.get_label(): container.lines[0].get_xydata() for container in axes.containers}
    for series, rows in points.groupby("series"):
        np.testing.assert_array_equal(lines[series], rows[["rate_nats", "distortion_nats"]])
    (contours,) = (drawn for drawn in axes.collections if drawn.get_zorder() == 0)
    segments = np.array(contours.get_segments())
    sums = segments.sum(axis=2)  # rate + distortion, at both ends
    assert len(sums) > 3 and np.ptp(sums, axis=1).max() < 1e-9
    levels = sorted({text.get_text() for text in axes.texts if "ELBO" in text.get_text()})
    assert set(levels) <= {f"−ELBO {level:g}" for level in sums[:, 0]} and len(levels) > 3


def test_figures_are_byte_equal_when_rebuilt_elsewhere_from_results_alone(results, tmp_path):
    draw(results)
    draw_noise(results)
    shutil.copytree(results / "runs", tmp_path / "copy/runs")
    draw(tmp_path / "copy")
    draw_noise(tmp_path / "copy")
    written = sorted(path.relative_to(results) for path in (results / "figures").rglob("*.*"))
    assert len(written) == 3 * 5 + 2
    for path in written:
        assert (tmp_path / "copy" / path).read_bytes() == (results / path).read_bytes(), path


def test_records_from_before_samples_were_kept_still_give_their_curve(tmp_path):
    for beta in (1.0, 2.0):
        record = at(26 / beta, 64, "vae", beta)
        del record["examples"]["samples"]
        put(tmp_path, record)
    assert [path.name for path in draw(tmp_path)] == ["binary_mnist_short_rate_distortion.png"]


def test_settings_that_differ_make_curves_of_their_own(tmp_path):
    for policy in ("float32", "mixed_bfloat16"):
        for beta in (1.0, 2.0):
            put(tmp_path, at(26 / beta, 64, "vae", beta, dtype_policy=policy), policy)
    put(tmp_path, at(26, 60, "echo"))
    points = rate_distortion.points_of(records.by_law(records.read_all(tmp_path)))
    assert sorted(set(points["series"])) == [
        "Echo, as published",
        "VAE, dtype_policy float32",
        "VAE, dtype_policy mixed_bfloat16",
    ]


def test_no_records_is_an_error_that_names_what_there_is(results):
    with pytest.raises(InputError, match=r"no finished runs of 'nothing'.*there are echo/table1"):
        draw(results, "nothing")


def test_samples_are_shown_of_the_beta_nearest_to_one_and_the_lowest_seed():
    found = [result(at(20, 60, "vae", beta, seed)) for beta in (0.3, 0.9, 4.0) for seed in (1, 0)]
    (chosen,) = samples.chosen(found).values()
    assert (chosen.settings.beta, chosen.settings.seed) == (0.9, 0)


def test_echo_and_standardized_echo_stand_beside_each_other_and_four_models_of_one_method_are_four():
    plain, standardized = result(at(26, 60, "echo")), result(at(25, 61, "echo", standardize=True))
    both = {"Echo, as published": [plain], "Echo, standardized": [standardized]}
    targets, chosen = rate_distortion.at_similar_rates([standardized, plain])
    assert list(targets) == [25.5] and chosen == both
    assert {label: [one] for label, one in samples.chosen([standardized, plain]).items()} == both
    sizes = {"vae2": 2, "vae10": 10, "vae100": 100, "linear": 100}
    models = [result(at(20, 60, variant=name, latent_dim=size)) for name, size in sizes.items()]
    assert list(samples.chosen(models)) == [f"VAE, {name}" for name in sizes]
    models += [result(at(20, 60, variant="vae2", latent_dim=3))]  # one variant of two codes, as a study's axis may make it
    assert list(samples.chosen(models))[:2] == ["VAE, vae2, latent_dim 2", "VAE, vae10"]
    assert len(samples.chosen(models)) == 5


def test_nine_methods_can_be_told_apart_without_colour():
    assert len(style.STYLES) == 9
    for part in zip(*style.STYLES.values()):
        assert len(set(part)) == 9


def test_energy_distance_is_scipy_s_and_its_test_tells_laws_apart():
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(150, 1)), rng.normal(size=(120, 1)), rng.normal(1, 1, (120, 1))
    found, p_value = noise.energy_test(a, b, rng, 99)
    assert found == pytest.approx(energy_distance(a[:, 0], b[:, 0]) ** 2) and p_value > 0.05
    assert noise.energy_test(a, c, rng, 99)[1] == 0.01


def test_echo_s_noise_and_output_share_a_law_and_the_gaussian_s_do_not(tmp_path):
    path = draw_noise(tmp_path)
    tests = pd.read_csv(str(path).replace(".png", "_tests.csv")).set_index("channel")
    assert tests["p_value"]["Echo"] > 0.05 and tests["p_value"]["Gaussian"] < 0.005
    points = pd.read_csv(path.with_suffix(".csv"))
    assert points[["x1", "x2"]].abs().max().max() == pytest.approx(1, abs=1e-5)
    for name in ("echo", "gaussian"):
        expected = points["x1"] + 0.5 * points[f"{name}_noise1"]
        np.testing.assert_allclose(points[f"{name}_output1"], expected, atol=1e-4)


def test_table_3_has_both_formulas_and_the_published_number(results):
    put_analysed(results, seed=1)
    (results / "t3.csv").write_text("dataset,total_correlation\nbinary_mnist,7.3\n")
    names = {"columns": {"total_correlation": "total_correlation_nats"}, "where": {"beta": 1}}
    text = write_tables(
        results, published={"total_correlation": {"file": "t3.csv", "on": ["dataset"], **names}}, kind="echo_analysis"
    )
    stem = f"{results}/tables/echo/table1_"
    assert (results / "tables/echo/table1_total_correlation.md").read_text() in text
    (row,) = pd.read_csv(f"{stem}total_correlation.csv").to_dict("records")
    assert (row["runs"], row["total_correlation_printed_nats"], row["total_correlation_nats"]) == (2, 6.0, 3.0)
    assert row["total_correlation_standard_error_nats"] == pytest.approx(0.03 / np.sqrt(2), rel=1e-4)
    assert row["published_total_correlation_nats"] == 7.3 and row["code_minus_noise_nats"] == 0.1
    tests = pd.read_csv(f"{stem}anderson_darling.csv")
    assert len(tests) == 14 and tests["shown"].sum() == 13
    assert (tests["rejected"] == (tests["statistic"] > tests["critical"])).all()
    assert tests[tests["dimension"] == 13]["rejected"].item()  # the uniform one
    assert "| Binary MNIST | 1 | short | 2 | 6.00 |" in text and "**" not in text


def test_without_analyses_there_is_no_table_3(tmp_path):
    put(tmp_path, at(26, 64, "vae"))
    write_tables(tmp_path)
    assert sorted(path.name for path in (tmp_path / "tables/echo").iterdir()) == ["table1.csv", "table1.md"]


def test_an_analysis_that_is_gone_is_said(results):
    next(results.rglob("*.npz")).unlink()
    with pytest.raises(InputError, match="cannot be read"):
        draw(results)


def test_variants_of_one_configuration_make_no_curve_but_those_of_a_study_of_beta_do(tmp_path):
    schemes = {"baseline": "permutation", "ring": "ring"}
    for seed, (variant, scheme) in enumerate(schemes.items()):
        put(tmp_path, at(26, 64 + seed, "echo", 1.0, 0, variant=variant, scheme=scheme), variant)
    assert [path.stem for path in draw(tmp_path)] == ["binary_mnist_short_samples"]
    for seed, (variant, scheme) in enumerate(schemes.items()):
        put(tmp_path, at(40, 55 + seed, "echo", 0.3, 0, variant=variant, scheme=scheme), variant)
    paths = draw(tmp_path)
    assert paths[0].stem == "binary_mnist_short_rate_distortion"
    assert set(pd.read_csv(paths[0].with_suffix(".csv"))["series"]) == {
        f"Echo, {variant}, not standardized" for variant in schemes
    }


def test_what_is_left_of_a_correlation_is_that_of_the_residual_ranks():
    rng = np.random.default_rng(0)
    given = rng.normal(size=300)
    a, b = given + rng.normal(size=300), np.exp(given - 0.5 * rng.normal(size=300))
    ranks = [stats.rankdata(x) for x in (a, b, given)]
    left = [y - np.polyval(np.polyfit(ranks[2], y, 1), ranks[2]) for y in ranks[:2]]
    assert information.partial_spearman(a, b, given) == pytest.approx(np.corrcoef(*left)[0, 1])


def a_curve(name, baseline=None, gaps=()):
    points = {"beta": [1.0, 10.0], "rate_nats": [2.0, 9.0], "rate_standard_error_nats": 0.1, "distortion_sse": [40.0, 20.0]}
    return annealed_curves.Curve(name, None, 10, frozenset(range(10)), pd.DataFrame(points), list(gaps), None, baseline)


def test_one_baseline_of_several_curves_is_drawn_once_and_what_bands_and_dots_are_is_said():
    trained = pd.DataFrame({"rate_nats": [3.0], "distortion_sse": [30.0]})
    gap = {"beta": 10.0, "gap_nats": 1.0, "gap_standard_error_nats": 0.1}
    found = [a_curve(f"VAE10, from {number}", trained.copy(), [gap]) for number in (100, 200)]
    figure = style.drawn(annealed._draw, found, [], "distortion", "title")
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "VAE10, from 100",
        "VAE10, from 200",
        "VAE10: encoders trained per β",
        "± 2 standard errors over 10 images",
        "BDMC gap measured here (see below)",
    ]
    _, below = figure.axes
    assert [label.get_text() for label in below.get_xticklabels()] == ["VAE10, from 100", "VAE10, from 200"]  # one beta for all
    two = style.drawn(annealed._draw, [a_curve("one", trained), a_curve("other", trained + 1)], [], "distortion", "title")
    assert [text.get_text() for text in two.legends[0].get_texts()][2:4] == [
        f"{n}: encoders trained per β" for n in ("one", "other")
    ]


def test_curves_stand_in_the_order_of_their_numbers():
    names = ["VAE10, from 1600", "VAE2", "VAE10, from 200", "VAE10", "AAE10"]
    assert sorted(names, key=annealed_curves._by_numbers) == [names[i] for i in (4, 1, 3, 2, 0)]


def test_toy_numbers_of_several_seeds_have_their_spread():
    rows = pd.DataFrame({"source": "mix", "loss": "up", "seed": [0, 1], "multiplier": 5.0, "ratio_z2": [3.0, 5.0]})
    table = isometric_ablation._over_seeds(rows, ["source", "loss"])
    assert table["ratio_z2"].item() == 4 and table["ratio_z2_std_over_seeds"].item() == pytest.approx(2**0.5)
    assert isometric_ablation._seeds(rows) == ", 2 seeds, bars: ± SD over seeds"
    assert isometric_ablation._seeds(rows[:1]) == ", one seed"
    assert not [
        name for name in isometric_ablation._over_seeds(rows[:1], ["source", "loss"]) if name.endswith("_std_over_seeds")
    ]
