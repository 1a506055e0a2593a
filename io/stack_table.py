"""A user's table of which observations belong together, and at what redshift.

CSV, TSV or ECSV, as `astropy.table` reads them: columns ``obs`` and ``group``, and where they are
known ``redshift`` and ``nh`` [1e22 cm-2]. An observation goes by the name of its file, with or
without its ending, by its path from the table's folder, with ``[n]`` for the spectrum n of a file.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table

from .errors import InputError

_OPTIONAL = ("redshift", "nh")


@dataclass(frozen=True, slots=True)
class StackRow:
    """A row of the table.

    Parameters
    ----------
    obs, group : str
    redshift, nh : float or None
        None where the table does not say.
    """

    obs: str
    group: str
    redshift: float | None = None
    nh: float | None = None


def read_stack_table(path: Path) -> list[StackRow]:
    """Read the table.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of StackRow

    Raises
    ------
    InputError
        If it is not there, is no table, lacks a column, or holds what cannot be.
    """
    if not path.is_file():
        raise InputError(
            f"--stack-by {path}: no such file; give obs, group, or a table of obs and group"
        )
    try:
        table = Table.read(path, format="ascii")
    except (OSError, ValueError, TypeError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{path}: cannot be read as a table ({reason}); give CSV with columns obs and group"
        ) from None
    names = {name.lower(): name for name in table.colnames}
    for wanted in ("obs", "group"):
        if wanted not in names:
            found = ", ".join(table.colnames)
            raise InputError(f"{path}: no column {wanted}, only {found}; name one so")
    rows = [
        StackRow(
            str(row[names["obs"]]).strip(),
            str(row[names["group"]]).strip(),
            *(_number(row, names.get(name), path) for name in _OPTIONAL),
        )
        for row in table
    ]
    for row in rows:
        if row.redshift is not None and row.redshift <= -1:
            raise InputError(f"{path}: redshift {row.redshift:g} of {row.obs} is not above -1")
        if row.nh is not None and row.nh <= 0:
            raise InputError(f"{path}: nh {row.nh:g} of {row.obs} is not above 0")
    return rows


def _number(row: Table.Row, name: str | None, path: Path) -> float | None:
    """Read a number; None where there is none."""
    if name is None or np.ma.is_masked(row[name]):
        return None
    try:
        value = float(str(row[name]))
    except (TypeError, ValueError):
        raise InputError(f"{path}: {name} {row[name]} is not a number; leave it empty") from None
    return value if math.isfinite(value) else None
