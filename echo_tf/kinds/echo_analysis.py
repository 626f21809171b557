"""What the Echo paper's Table 3 and Figures 6 and 7 need of a trained Echo model: total correlation, marginals, rates."""

import pydantic

from echo_tf.runs.place import Place
from echo_tf.runs.records import number
from echo_tf.runs.settings import Measurement
from echo_tf.runs.settings import Settings as Core

TABLES = ("total_correlation",)
FIGURES = ("marginals", "information")
CORRELATIONS = [f"{name}{error}_nats" for name in ("noise", "code", "code_minus_noise") for error in ("", "_standard_error")]
CORRELATIONS += ["draws"]
MARGINALS = ("dimensions", "codes", "rejected", "codes_small", "rejected_small")


class Settings(Measurement):
    """The settings of one analysis.

    model: the training whose model is analysed: Echo, tested with noise from the batch.
    """

    kind: str = "echo_analysis"

    @pydantic.field_validator("model")
    @classmethod
    def _of_echo(cls, model):
        got = getattr(model, "method", None), getattr(model, "eval_noise", None)
        if got != ("echo", "batch"):
            raise ValueError(f"it is of Echo noise made of test images and needs method=echo and eval_noise=batch, got {got}")
        return model


def needs(settings: Settings) -> list[Core]:
    return [settings.model]


def perform(settings: Settings, place: Place) -> dict:
    """Analyses the model on its test images; see `echo_tf.analysis.analyse`."""
    from echo_tf import analysis
    from echo_tf.kinds._training import tested

    for result in place.of_one_work(settings.model):
        if "analysis" in result.record:  # of before analyses were runs: it is taken over
            place.attach("analysis", result.arrays("analysis"))
            found = {key: value for key, value in result.record["analysis"].items() if key != "file"}
            return {"analysis": found, "taken_from": result.settings.run_path.as_posix()}
    model = place.model(settings.model)
    x, split = tested(settings.model, place)
    seed = settings.seed or settings.model.seed
    found = analysis.analyse(
        model, x, batch_size=settings.model.batch_size, seed=seed, check=place.check, progress=place.progress
    )
    place.attach("analysis", found)
    return {"data": {"split": split}, "analysis": analysis.key_numbers(found)}


def rows(record: dict) -> list[dict]:
    """One row: total correlations in nats, and how many marginals a Gaussian does not pass for."""
    found = record["analysis"]
    correlation = {name: number(found["total_correlation"][name]) for name in CORRELATIONS}
    return [{**correlation, **{f"{name}_marginals": int(found["anderson_darling"][name]) for name in MARGINALS}}]


def line(record: dict) -> str:
    found = record["analysis"]
    correlation, tests = found["total_correlation"], found["anderson_darling"]
    return (
        f"total correlation {correlation['noise_nats']:.2f} nats, "
        f"{tests['rejected']} of {tests['dimensions']} marginals are not Gaussian at {tests['codes']:,} codes"
    )
