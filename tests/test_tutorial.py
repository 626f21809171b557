"""The command `run.py theory`: the tutorial's printed numbers come out, in either unit."""

import numpy as np
import pandas as pd
import pytest

import run as command_line


@pytest.mark.parametrize(("unit", "factor"), [("bits", 1.0), ("nats", np.log(2))])
def test_the_tutorial_s_table_and_figure_are_made(tmp_path, capsys, unit, factor):
    assert command_line.main(["--results", str(tmp_path), "theory", "--unit", unit]) == 0
    assert f"rates in {unit}" in capsys.readouterr().out
    binary = pd.read_csv(tmp_path / f"tables/theory/tutorial_binary_{unit}.csv")
    printed = binary[binary[f"printed_rate_{unit}"].notna()]
    assert np.abs(printed[f"rate_{unit}"] - printed[f"printed_rate_{unit}"]).max() < 1e-4  # four printed decimals
    assert (binary[f"rate_{unit}"][binary["beta"] < np.log(4)] < 1e-6).all()
    collapse = pd.read_csv(tmp_path / f"tables/theory/tutorial_collapse_{unit}.csv")
    linear = collapse[(collapse["decoder"] == "linear") & (collapse["beta_vae"] == 1)]
    assert linear[f"rate_{unit}"].item() == pytest.approx(factor)  # half a log of variance / noise variance, 4
    assert (tmp_path / f"figures/theory/tutorial_{unit}.png").stat().st_size > 10_000


def test_without_a_folder_nothing_is_written_among_the_repository_s_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command_line, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(command_line, "OWN_RESULTS", tmp_path / "results/own")
    assert command_line.main(["theory", "--unit", "nats"]) == 0
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["own"]  # which git ignores
