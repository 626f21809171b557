import copy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from echo_tf import tables
from echo_tf.errors import InputError
from echo_tf.kinds import ais, likelihood
from echo_tf.runs import records
from echo_tf.runs.settings import from_recorded
from echo_tf.runs.studies import Study
from echo_tf.tables import annealed_curves, disentanglement, summary, total_correlation
from echo_tf.tables.published import markdown

PUBLISHED = """dataset,method,rate_nats,distortion_nats,neg_elbo_nats,neg_elbo_std,parameters_millions
binary_mnist,VAE,26.2,63.6,89.8,0.18,1.4
"""


ASKED = {"file": "p.csv", "on": {"dataset": "dataset", "method": "title"}, "where": {"beta": 1, "network": "alemi2018"}}


def a_study(name="echo/table1", **parts):
    return Study(**{"study": name, "description": "d", "base": {"epochs": 1}, **parts})


def material(results, name="echo/table1", **parts):
    every = records.read_all(results)
    [(_, found)] = tables.materials("tables", results, name, every, a_study(name, tables=["summary"], **parts), results)
    return found


def write_tables(results, name="echo/table1", **parts):
    return "\n".join(tables.write(results, name, records.read_all(results), a_study(name, **parts), results))


def make_record(neg_elbo, seed, method="vae", beta=1.0, **settings):
    metrics = {"rate_nats": 26.0, "distortion_nats": neg_elbo - 26.0, "neg_elbo_nats": neg_elbo}
    images = records.pack_images(np.random.default_rng(seed).random((10, 28, 28, 1)))
    config = {
        "study": "echo/table1",
        "dataset": "binary_mnist",
        "method": method,
        "preset": "short",
        "network": "alemi2018",
        "fidelity": "paper",
        "dtype_policy": "float32",
        "epochs": 20,
        "beta": beta,
        "seed": seed,
        "name": None,
    }
    return {
        "status": "finished",
        "config": {**config, **settings},
        "data": {"variant": "static binarization"},
        "parameters": 1_398_849,
        "test": {
            "metrics": {name: {"mean": value, "standard_error": 0.1} for name, value in metrics.items()},
            "rate_floor_nats": 5.737 if method == "echo" else None,
        },
        "examples": {"images": images, "reconstructions": images},
    }


@pytest.fixture
def write(tmp_path):
    (tmp_path / "p.csv").write_text(PUBLISHED)

    def write(found):
        c = found["config"]
        path = (
            tmp_path / "runs" / c["study"] / c["dataset"] / c["method"] / f"beta{c['beta']}_seed{c['seed']}_{c['epochs']}.json"
        )
        records.write(path, copy.deepcopy(found))
        return tmp_path

    return write


def test_ten_runs_are_averaged_without_the_best_and_the_worst(write):
    values = [90.0, 88.0, 95.0, 89.5, 89.6, 89.7, 89.8, 89.9, 90.1, 90.2]
    for seed, value in enumerate(values):
        results = write(make_record(value, seed))
    (row,) = summary.summarize(material(results, published=ASKED)).to_dict("records")
    kept = sorted(values)[1:-1]
    assert row["neg_elbo_nats"] == pytest.approx(np.mean(kept))
    assert row["neg_elbo_std_over_seeds_nats"] == pytest.approx(np.std(kept, ddof=1))
    assert (row["runs"], row["runs_averaged"]) == (10, 8)
    assert row["difference_neg_elbo_nats"] == pytest.approx(np.mean(kept) - 89.8)


def test_fewer_runs_are_all_averaged_and_counted(write):
    for seed, value in enumerate([90.0, 92.0]):
        results = write(make_record(value, seed))
    (row,) = summary.summarize(material(results)).to_dict("records")
    assert row["neg_elbo_nats"] == 91.0 and row["runs"] == row["runs_averaged"] == 2


def test_runs_that_differ_in_any_setting_are_not_averaged_together(write):
    write(make_record(90.0, 0))
    write(make_record(91.0, 0, epochs=40))
    write(make_record(92.0, 0, beta=0.5))
    write(make_record(94.0, 0, epochs=7, network="kingma2014"))
    results = write(make_record(93.0, 0, method="echo"))
    table = summary.summarize(material(results, published=ASKED))
    assert len(table) == 5
    assert table[table.network == "kingma2014"].published_neg_elbo_nats.isna().all()  # and for the paper's network
    table = table[table.network == "alemi2018"]
    beside = table[(table.method == "vae") & (table.beta == 1)]
    assert list(beside.published_neg_elbo_nats) == [89.8, 89.8]
    assert table[table.beta == 0.5].published_neg_elbo_nats.isna().all()  # the published numbers are for beta = 1
    assert list(table.beta) == sorted(table.beta) and list(table[table.beta == 1].method) == ["echo", "vae", "vae"]
    assert table[table.beta == 0.5].distortion_plus_beta_rate_nats.item() == pytest.approx(92.0 - 0.5 * 26.0)
    assert "D + βR" in summary.to_markdown(table, "") and "D + βR |" not in summary.to_markdown(table[table.beta == 1], "")


def test_diverged_runs_are_left_out_and_nothing_left_is_an_error(write):
    diverged = {**make_record(90.0, 0), "status": "diverged"}
    results = write(diverged)
    with pytest.raises(InputError, match="no finished runs"):
        summary.summarize(material(results))


def test_files_say_preset_runs_difference_and_data(write):
    write(make_record(103.0, 1, dtype_policy="mixed_bfloat16", fidelity="released"))
    results = write(make_record(101.26, 0))
    text = write_tables(results, published=ASKED)
    assert text == (results / "tables" / "echo" / "table1.md").read_text()
    shown = ("| VAE |", "| short |", "short, mixed_bfloat16, fidelity released", "101.3", "89.8", "+11.5", "1,398,849")
    for words in (*shown, "static binarization", "shorter than the paper's"):
        assert words in text
    csv = pd.read_csv(results / "tables" / "echo" / "table1.csv")
    assert sorted(csv.neg_elbo_nats) == [101.26, 103.0]
    assert all(name.endswith("_nats") for name in csv if "rate" in name or "elbo" in name or "distortion" in name)


def test_variants_stand_beside_their_baseline(write):
    for seed, (variant, value) in enumerate([("baseline", 91.0), ("ring", 92.5), ("terms", 90.0)]):
        results = write(make_record(value, seed, "echo", study="echo/ablation", variant=variant))
    found = summary.summarize(material(results, "echo/ablation")).set_index("variant")["difference_to_baseline_nats"]
    assert np.isnan(found["baseline"]) and found["ring"] == pytest.approx(1.5) and found["terms"] == pytest.approx(-1.0)
    text = write_tables(results, "echo/ablation")
    assert "| short, ring | 20 | 1 | 26.0 | 66.5 | 92.5 | – | 0.10 | – | 1,398,849 | +1.5 |" in text


def test_rows_that_would_look_alike_say_what_sets_them_apart(write):
    for seed, rate in enumerate([1e-3, 3e-4]):
        results = write(make_record(91.0, seed, learning_rate=rate))
    results = write(make_record(91.0, 2, "echo", learning_rate=3e-4))
    text = write_tables(results)
    assert "| short, learning_rate 0.001 |" in text and "| short, learning_rate 0.0003 |" in text
    assert "| Echo | 1 | short |" in text


def a_result(**more):
    """A result of a training, of which nothing but its settings is read, and what is given."""
    return SimpleNamespace(settings=from_recorded(make_record(90.0, 0)["config"]), **more)


def test_spreads_of_scores_are_standard_deviations_over_the_runs():
    scores = [2.0, 4.0, 9.0]
    group = [a_result(rows=lambda score=score: [{"representation": "mean", "mig_score": score}]) for score in scores]
    [row] = disentanglement._rows(group)
    assert row["mig_score"] == 5.0 and row["mig_std_over_seeds_score"] == pytest.approx(13**0.5)
    [alone] = disentanglement._rows(group[:1])
    assert np.isnan(alone["mig_std_over_seeds_score"])


def test_total_correlations_are_means_their_errors_those_of_independent_draws_and_the_printed_ones_twice_as_large():
    rows = [{"draws": 5, "noise_nats": nats, "code_nats": 1.0, "code_minus_noise_nats": 0.5} for nats in (2.0, 4.0, 9.0)]
    errors = {"noise_standard_error_nats": [0.1, 0.2, 0.2], "code_minus_noise_standard_error_nats": [0.3, 0.0, 0.4]}
    group = []
    for i, row in enumerate(rows):
        row |= {name: values[i] for name, values in errors.items()}
        group.append(a_result(record={"analysis": {"total_correlation": row}}))
    found = total_correlation.correlations([group]).iloc[0]
    assert (found.total_correlation_nats, found.total_correlation_printed_nats) == (5.0, 10.0)
    assert found.total_correlation_std_over_seeds_nats == pytest.approx(13**0.5)
    assert found.total_correlation_standard_error_nats == pytest.approx(0.3 / 3)
    assert found.total_correlation_printed_standard_error_nats == pytest.approx(0.6 / 3)
    assert found.code_minus_noise_standard_error_nats == pytest.approx(0.5 / 3)


def test_likelihoods_that_were_measured_later_stand_in_the_summary(write):
    results = write(make_record(91.0, 0))
    [training] = records.read_all(results)
    config = {"kind": "likelihood", "study": "echo/likelihood", "preset": "short", "model": training.settings.recorded()}
    found = {"neg_log_likelihood_nats": {"mean": 88.5, "standard_error": 0.2}, "samples_per_image": 200}
    record = {"kind": "likelihood", "status": "finished", "config": config, "log_likelihood": found}
    records.write(results / "runs/echo/likelihood/a.json", record)
    assert "| 91.0 | – | 0.10 | 88.5 |" in write_tables(results)
    write(make_record(92.0, 1))  # a mean of some runs alone is none
    assert pd.isna(summary.summarize(material(results))["neg_log_likelihood_nats"][0])


def test_of_several_likelihoods_of_a_model_the_one_of_most_samples_counts(write):
    results = write(make_record(91.0, 0))
    [training] = records.read_all(results)
    for samples, value in ((200, 88.5), (5_000, 88.0), (50, 89.0)):
        config = {"kind": "likelihood", "study": "echo/likelihood", "preset": "short", "samples": samples}
        found = {"neg_log_likelihood_nats": {"mean": value, "standard_error": 0.2}, "samples_per_image": samples}
        record = {"kind": "likelihood", "status": "finished", "config": {**config, "model": training.settings.recorded()}}
        records.write(results / f"runs/echo/likelihood/{samples}.json", {**record, "log_likelihood": found})
    assert summary.summarize(material(results)).neg_log_likelihood_nats.item() == 88.0


def test_a_distortion_keeps_its_number_and_is_called_by_its_unit(write):
    shown = {"nats": "63.0", "sse": "63.0 (squared error)", "dissimilarity": "0.0423 (dissimilarity)"}
    words = {"nats": "bernoulli", "sse": "squared_error", "dissimilarity": "ssim"}
    for seed, unit in enumerate(shown):
        record = make_record(89.0, seed, distortion=words[unit])
        metrics = record["test"]["metrics"]
        if unit != "nats":
            del metrics["neg_elbo_nats"]
            metrics[f"distortion_{unit}"] = metrics.pop("distortion_nats")
        metrics[f"distortion_{unit}"]["mean"] = 0.0423 if unit == "dissimilarity" else 63.0
        results = write(record)
    table = summary.summarize(material(results))
    for unit, said in shown.items():
        value = table[f"distortion_{unit}"].dropna().item()
        assert value == (0.0423 if unit == "dissimilarity" else 63.0) and f"| 26.0 | {said} |" in write_tables(results)


def test_a_variant_is_not_held_against_one_of_two_baselines(write):
    for seed, (variant, size) in enumerate([("baseline", 2), ("baseline", 3), ("ring", 2)]):
        results = write(make_record(91.0, seed, "echo", study="echo/ablation", variant=variant, latent_dim=size))
    found = summary.summarize(material(results, "echo/ablation"))
    assert len(found) == 3 and found["difference_to_baseline_nats"].isna().all()


def test_what_looks_alike_is_told_apart_by_settings_of_its_own_and_of_its_model():
    models = [from_recorded(make_record(90.0, seed, latent_dim=size)["config"]) for seed, size in ((0, 2), (1, 2), (0, 10))]
    measured = [likelihood.Settings(study="a", model=model) for model in models]
    measured += [likelihood.Settings(study="a", model=models[0], samples=5)]
    words = records.told_apart(measured, lambda one: one.subject.method)
    assert words == ["latent_dim 2, samples 200"] * 2 + ["latent_dim 10, samples 200", "latent_dim 2, samples 5"]
    assert records.told_apart(measured[:3], lambda one: one.subject.latent_dim) == ["", "", ""]  # a seed is no word


def test_curves_of_one_name_are_told_apart_and_parts_of_a_curve_are_not():
    rounds = {"num_temperatures": 100, "num_betas": 9, "max_beta": 10.0, "mixture": "joint"}
    rounds |= {"rule": "moving_average", "weights": "float64", "study": "a"}
    model = from_recorded(make_record(90.0, 0, variant="vae2")["config"])
    every = [ais.Settings(**rounds, model=model), ais.Settings(**rounds, model=model, num_chains=20)]
    assert annealed_curves._names(every) == ["VAE2, num_chains 40", "VAE2, num_chains 20"]
    assert annealed_curves._names(every[:1]) == ["VAE2"]


@pytest.mark.parametrize(
    "parts",
    [
        {"tables": ["summery"]},
        {"published": {"file": "none.csv", "on": ["dataset"]}},
        {"published": {**ASKED, "on": ["colour"]}},
    ],
)
def test_a_form_or_a_file_or_column_of_published_numbers_that_is_not_there_is_said(write, parts):
    with pytest.raises(InputError, match="did you mean 'summary'|cannot be had from"):
        write_tables(write(make_record(91.0, 0)), **parts)


def test_a_record_that_is_not_as_its_kind_writes_it_is_said_in_one_line(write, monkeypatch):
    results = write(make_record(90.0, 0))
    monkeypatch.setattr(summary, "summarize", lambda material: {}["a column"])
    with pytest.raises(InputError, match="the tables 'summary' of echo/table1 cannot be made"):
        write_tables(results)


def test_a_bar_within_a_cell_does_not_end_it():
    head, _, row = markdown(["mean |cos|", "b"], [["a|b", 1]])
    assert head == r"| mean \|cos\| | b |" and row == r"| a\|b | 1 |"
