"""The plainest table, of any kind of run: the rows of a study's records, a line each, with the settings that set them apart."""

import pandas as pd

from echo_tf.files import write_atomically
from echo_tf.tables import Material
from echo_tf.tables.published import beside, markdown

SHOWN = 30  # rows in the Markdown; the CSV has all


def write(material: Material) -> str | None:
    """Writes <study>_rows.md and .csv; returns the Markdown, None where no run gives rows."""
    found = [result for result in material.own if result.finished]
    recorded = [result.settings.recorded() for result in found]
    varying = [key for key in recorded[0] if any(other.get(key) != recorded[0][key] for other in recorded)] if found else []
    columns = list(dict.fromkeys(["preset", *(key for key in varying if key not in ("name", "model")), "seed"]))
    named = "name" in varying or "model" in varying
    rows = [
        {**({"run": result.settings.run_name} if named else {}), **{k: s.get(k) for k in columns}, **row}
        for result, s in zip(found, recorded)
        for row in result.rows()
    ]
    if not rows:
        return None
    table = beside(pd.DataFrame(rows), material)
    shown = [[f"{v:.4g}" if isinstance(v, float) else v for v in row] for row in table.head(SHOWN).itertuples(index=False)]
    more = ["", f"{len(table) - SHOWN:,} further rows are in the CSV file."] if len(table) > SHOWN else []
    text = "\n".join([f"# {material.study}", "", *markdown([n.replace("_", " ") for n in table], shown), *more]) + "\n"
    write_atomically(f"{material.stem}_rows.csv", table.to_csv(index=False, float_format="%.9g"))
    write_atomically(f"{material.stem}_rows.md", text)
    return text
