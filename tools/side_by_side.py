"""A fit of ours beside a published one: run a cube, compare, print.

A `Check` is one number, what was asked of it, and whether it holds; a `Comparison` is the checks of
one set of data against one reference, with the settings and the reasons why the two differ.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from ..io.errors import RunError
from ..io.table import read_table
from ..kernels.axis import SPEED_OF_LIGHT
from ..stream.config import OpticalConfig, RunConfig
from ..stream.run import start_run

Maps = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Check:
    """One number of a comparison.

    Parameters
    ----------
    quantity : str
        What was compared, in words.
    found : float
        The number, in `unit`.
    asked : (low, high) or None
        Where it should lie, ends included; None for a number that is shown and not asked for.
    n : int
        Spaxels behind it.
    unit : str
        Of `found`; "" for a ratio.
    text : str
        What stands in the table instead of `found`, where that is not enough.
    """

    quantity: str
    found: float
    asked: tuple[float, float] | None
    n: int
    unit: str = ""
    text: str = ""

    @property
    def holds(self) -> bool:
        """Whether the number lies where it was asked to; NaN does not."""
        return self.asked is None or self.asked[0] <= self.found <= self.asked[1]

    @property
    def shown(self) -> str:
        """The number as the tables have it."""
        unit = f" {self.unit}" if self.unit else ""
        return self.text or f"{self.found:.{2 if unit else 3}f}{unit}"

    @property
    def wanted(self) -> str:
        """What was asked, in words; "" for nothing."""
        if self.asked is None:
            return ""
        low, high = self.asked
        words = f"{low:g} to {high:g}"
        if low == high:
            words = f"{low:g}"
        elif low == 0:
            words = f"below {high:.2g}"
        elif low == -high:
            words = f"within {high:g}"
        return f"{words} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Comparison:
    """All checks of one set of data against one reference.

    Parameters
    ----------
    data, reference : str
        Names, as the table has them.
    settings : str
        How the data were fitted.
    checks : tuple of Check
    why : str
        Where the two differ, and why.
    """

    data: str
    reference: str
    settings: str
    checks: tuple[Check, ...]
    why: str = ""

    @property
    def holds(self) -> bool:
        """Whether every check does."""
        return all(check.holds for check in self.checks)


def fit(cube: Path, run: Path, **options: Any) -> Maps:
    """Fit a cube as the command does and give every column as a map.

    Parameters
    ----------
    cube : Path
    run : Path
        Run directory, made or replaced.
    **options
        Fields of `OpticalConfig`.

    Returns
    -------
    dict of str to ndarray, shape (y, x)
        NaN where a spaxel has no row.

    Raises
    ------
    RunError
        If a batch failed.
    InputError
        If the cube or an option cannot be used.
    """
    config = RunConfig("optical", str(cube.absolute()), optical=OpticalConfig(**options))
    outcome = start_run(config, run, overwrite=True)
    if outcome.state != "done":
        raise RunError(f"{run}: the fit of {cube.name} ended {outcome.state}; see its log.jsonl")
    table = read_table(run / "fit")
    x, y = table["x"].to_numpy(), table["y"].to_numpy()
    maps: Maps = {}
    for name in table.column_names:
        maps[name] = np.full((int(y.max()) + 1, int(x.max()) + 1), np.nan)
        maps[name][y, x] = table[name].to_numpy()
    return maps


def relativistic(velocity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn optical velocities, c dlambda / lambda0, into c (r^2 - 1) / (r^2 + 1) [km/s].

    r is the ratio of wavelengths; the two differ by v^2 / 2c, 0.4 km/s at 500 km/s.
    """
    squared = np.square(1.0 + velocity / SPEED_OF_LIGHT)
    return SPEED_OF_LIGHT * (squared - 1.0) / (squared + 1.0)


def typical(difference: NDArray[np.float64], *, share: float = 50.0) -> float:
    """Size below which `share` percent of the differences stay; NaN without any."""
    return float(np.percentile(np.abs(difference), share)) if difference.size else np.nan


def beside_the_network(ours: Maps, rows: NDArray[np.bool_]) -> tuple[Check, Check]:
    """Tell how often the fit lies within two standard deviations of the network's density.

    Parameters
    ----------
    ours : dict of str to ndarray, shape (y, x)
        Columns of a fit.
    rows : ndarray of bool, shape (y, x)
        Spaxels looked at, those outside the network's range among them: their density is that of
        nobody, so they are left out.

    Returns
    -------
    tuple of Check
        For velocity and broadening, in percent. The text adds the network's standard deviation
        over the error of the fit, median, since a density that says nothing is never wrong.
    """
    checks = []
    for name in ("velocity", "broadening"):
        sigma = ours[f"mdn_{name}_sigma"]
        read = rows & np.isfinite(sigma)
        apart = np.abs(ours[name] - ours[f"mdn_{name}"])[read] / sigma[read]
        share = 100.0 * float(np.mean(apart < 2.0)) if apart.size else np.nan
        wide = float(np.median((sigma / ours[f"{name}_err"])[read])) if apart.size else np.nan
        text = f"{share:.1f} %, sigma {wide:.1f} of the error"
        words = f"{name} within two sigma of the network"
        checks.append(Check(words, share, (93.0, 100.0), int(read.sum()), "%", text))
    return checks[0], checks[1]


def wide_table(comparisons: Iterable[Comparison]) -> Table:
    """Give every check a row, for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("data", "reference", "quantity", "n", "found", "asked", "holds"):
        table.add_column(heading, justify="right" if heading == "n" else "left")
    for comparison in comparisons:
        names = comparison.data, comparison.reference
        for check in comparison.checks:
            verdict = "" if check.asked is None else "yes" if check.holds else "NO"
            row = check.quantity, f"{check.n}", check.shown, check.wanted, verdict
            table.add_row(*names, *row)
            names = "", ""
    return table


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Give every comparison a row, in Markdown, then settings and reasons as a list."""
    lines = [
        "| data | reference | spectra | stream-fit beside it (asked) |",
        "|---|---|---:|---|",
    ]
    for comparison in comparisons:
        n = max(check.n for check in comparison.checks)
        cell = "<br>".join(_phrase(check) for check in comparison.checks)
        lines.append(f"| {comparison.data} | {comparison.reference} | {n} | {cell} |")
    return "\n".join([*lines, "", *reasons(comparisons)])


def reasons(comparisons: Iterable[Comparison]) -> list[str]:
    """Give settings and reasons, a line each, beginning with a hyphen; equal ones in one line."""
    merged: dict[str, list[str]] = {}
    for c in comparisons:
        text = f"{c.settings}. {c.why}".rstrip()
        merged.setdefault(text, []).append(f"{c.data} ({c.reference})")
    return [f"- {'; '.join(names)}: {text}" for text, names in merged.items()]


def _phrase(check: Check) -> str:
    """Write a check as "velocity, scatter: 2.19 km/s (below 3 km/s)"."""
    asked = f" ({check.wanted})" if check.wanted else ""
    missed = "" if check.holds else ", **missed**"
    return f"{check.quantity}: {check.shown}{asked}{missed}"
