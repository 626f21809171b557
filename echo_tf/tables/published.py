"""The papers' numbers beside those of the runs."""

from pathlib import Path

import pandas as pd

from echo_tf.errors import InputError
from echo_tf.runs.studies import Published
from echo_tf.tables import Material


def beside(table: pd.DataFrame, material: Material) -> pd.DataFrame:
    """The table with a column `published_X` for every column X that the published numbers have too.

    Rows are matched as the study says (`on`), and only those that it speaks of (`where`; null is no value).

    Raises:
        InputError: if the file of published numbers is missing, or lacks a column.
    """
    asked = material.published
    if asked is None:
        return table
    numbers = numbers_of(asked, material.published_folder, material.study)
    try:
        keys = numbers[list(asked.on)].rename(columns=asked.on)
        speaks_of = pd.Series(True, index=table.index)
        for column, value in asked.where.items():
            speaks_of &= table[column].isna() if value is None else table[column] == value
        known = table[list(asked.on.values())]
    except (ValueError, KeyError) as error:
        raise InputError(f"the published numbers of {material.study} cannot stand beside its table: no {error}.") from error
    shared = [column for column in numbers if column in table and column not in asked.on]
    numbers = pd.concat([keys, numbers[shared].add_prefix("published_")], axis=1)
    found = known.where(speaks_of).merge(numbers, how="left", on=list(asked.on.values()))
    return table.assign(**{name: found[name].to_numpy() for name in numbers if name.startswith("published_")})


def numbers_of(asked: Published, folder: str | Path, study: str) -> pd.DataFrame:
    """The published numbers that a study asks for, their columns called as the table's. Raises InputError as `beside`."""
    path = Path(folder, asked.file)
    try:
        numbers = pd.read_csv(path).rename(columns=asked.columns)
        numbers[list(asked.on)]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"the published numbers of {study} cannot be had from {path}: {error}.") from error
    return numbers


def in_words(value, form: str) -> str:
    """A number for a reader, "–" where there is none."""
    return "–" if pd.isna(value) else format(value, form)


def markdown(heads, rows) -> list[str]:
    """The lines of a Markdown table; a | within a cell is escaped, or it would end the cell."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (heads, ["---"] * len(heads), *rows)]
    return ["| " + " | ".join(row) + " |" for row in cells]
