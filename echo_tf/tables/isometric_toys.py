"""What the tables and figures of the toy trainings share: a row a training, its latent dimensions in the order of the paper."""

import pandas as pd

from echo_tf.tables import Material

LATENTS = ("z1", "z2", "z3")  # the paper's, by rising variance
TITLES = {"square": "squared_error", "down": "downward_convex", "up": "upward_convex"}
IN_TABLES = 100.0  # lambda of tables 1 and 2
KEYS = ("source", "loss", "seed", "preset", "epochs", "points", "reduction", "multiplier", "weights")


def trainings(material: Material) -> pd.DataFrame:
    """A row a toy training, and one for each of its averaged and last weights: norm_z1, ..., losses, correlations R."""
    found = []
    for result in material.own:
        if result.finished and result.settings.kind == "isometry" and result.settings.model.kind == "toy":
            found += [_row(result, training) for training in result.record["trainings"]]
    return pd.DataFrame(found)


def _row(result, training):
    model = result.settings.model
    shared = {"multiplier": training["multiplier"], "weights": training["weights"], "preset": result.settings.preset}
    row = {key: shared[key] if key in shared else getattr(model, key) for key in KEYS}
    table = pd.DataFrame(training["table"]).sort_values("inverse_variance", kind="stable")
    for latent, values in zip(LATENTS, table.to_dict("records")):
        row |= {f"{name}_{latent}": value for name, value in values.items() if name != "latent"}
    row |= {f"ratio_{latent}": row[f"inverse_variance_{latent}"] / row["inverse_variance_z1"] for latent in LATENTS[1:]}
    row |= {**training["losses"], "transform_over_coding": _ratio(training["losses"])}
    row |= {f"correlation_{name}": value for name, value in training["correlations"].items()}
    return {**row, **{f"slope_{name}": value for name, value in training["slopes"].items()}}


def _ratio(losses):
    return losses["transform_loss"] / losses["coding_loss"] if losses["coding_loss"] else None
