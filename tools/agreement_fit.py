"""How fitted X-ray sources agree with the truth of a simulation: bias, scatter, pulls.

Only sources of the kind that the model describes are held against the truth. Of temperature, column
and norm the logarithm is compared, and the pull is the difference over the error of the logarithm;
where errors are honest pulls have median 0, width 1, and lie within 1 and 1.96 in 68.3 and 95 %.
Widths are 1.4826 times the median absolute deviation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from ..io.results import FitStatus
from ..kernels.xray_model import MODELS

Array = NDArray[np.float64]

KINDS = {"apec1": "thermal", "apec2": "two-temperature", "powerlaw": "powerlaw"}
"""Model of the simulation that each source model describes."""

_LEFT_OUT = int(FitStatus.NO_DATA | FitStatus.NO_SIGNAL | FitStatus.SINGULAR)


@dataclass(frozen=True, slots=True)
class Parameter:
    """How one parameter compares with the truth; NaN of fewer than two sources.

    Parameters
    ----------
    name : str
    n : int
    bias, scatter : float
        Median and width of fitted minus true, of logarithms where `logarithmic`.
    pull, width : float
        Median and width of the pull.
    within_1, within_2 : float
        Share of pulls within 1 and 1.96.
    logarithmic : bool
    """

    name: str
    n: int
    bias: float
    scatter: float
    pull: float
    width: float
    within_1: float
    within_2: float
    logarithmic: bool


def fit_agreement(fitted: pa.Table, truth: pa.Table) -> list[Parameter]:
    """Hold the fits of single observations against their truth.

    Parameters
    ----------
    fitted, truth : pyarrow.Table
        RUN/fit, and the truth of ``simulate xray``.

    Returns
    -------
    list of Parameter
        Empty where the run has no source of the kind its model describes.
    """
    known = {row["obs"]: row for row in truth.to_pylist()}
    pairs = [
        (row, known[row["members"][0]])
        for row in fitted.to_pylist()
        if len(row["members"]) == 1
        and row["members"][0] in known
        and KINDS.get(row["model"]) == known[row["members"][0]]["model"]
        and not row["status"] & _LEFT_OUT
    ]
    if not pairs:
        return []
    parameters = MODELS[pairs[0][0]["model"]].parameters
    shared = [one for one in parameters if one.name in truth.column_names and one.name != "second"]
    return [_parameter(one.name, pairs, logarithmic=one.logarithmic) for one in shared]


def fit_table(found: list[Parameter], model: str) -> Table:
    """Set it out for a terminal."""
    title = f"Fitted ({model}) against true"
    drawn = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("parameter", no_wrap=True)
    for heading in ("n", "bias", "scatter", "pull", "width", "< 1 err", "< 1.96"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        drawn.add_row(
            f"ln {one.name}" if one.logarithmic else one.name,
            f"{one.n}",
            f"{one.bias:+.3f}",
            f"{one.scatter:.3f}",
            f"{one.pull:+.2f}",
            f"{one.width:.2f}",
            f"{one.within_1:.0%}",
            f"{one.within_2:.0%}",
        )
    return drawn


def _parameter(
    name: str, pairs: list[tuple[dict[str, Any], dict[str, Any]]], *, logarithmic: bool
) -> Parameter:
    """Compare one parameter."""
    value, error, true = (
        np.array(column, np.float64)
        for column in zip(
            *((row[name], row[f"{name}_err"], right[name]) for row, right in pairs), strict=True
        )
    )
    away = np.log(value / true) if logarithmic else value - true
    pull = away / (error / value if logarithmic else error)
    if len(pairs) < 2:
        nan = float("nan")
        return Parameter(name, len(pairs), nan, nan, nan, nan, nan, nan, logarithmic)
    return Parameter(
        name,
        len(pairs),
        float(np.median(away)),
        _width(away),
        float(np.median(pull)),
        _width(pull),
        float(np.mean(np.abs(pull) < 1.0)),
        float(np.mean(np.abs(pull) < 1.96)),
        logarithmic,
    )


def _width(values: Array) -> float:
    """Robust standard deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
