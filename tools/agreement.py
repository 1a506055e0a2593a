"""How a run agrees with the truth of a simulation: bias, scatter, pulls, wrong velocities.

The pull of a quantity is (fitted - true) / standard error. Where errors are honest it has median 0,
width 1 and lies within 1 and 1.96 in 68.3 and 95 % of the rows. Widths are robust: 1.4826 times the
median absolute deviation, and half the distance between the 15.87 and 84.13 percentiles, which also
sees the shoulders. Rows the simulation made hopeless (dead, empty, hit by a cosmic ray) and rows
the fit calls undetected are left out, and counted.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..io.errors import InputError
from ..io.results import FitStatus, line_names

Array = NDArray[np.float64]

WRONG_KMS = 60.0  # a velocity further off is another line or a noise peak
BINS = ((3.0, 5.0), (5.0, 10.0), (10.0, 30.0), (30.0, 1000.0))
GOOD_SNR = 10.0  # above it the errors are held to the normal distribution
_FITTABLE = ("", "gaps")  # defects of the simulation that leave enough to fit
_UNDETECTED = int(FitStatus.NO_DATA | FitStatus.NO_SIGNAL | FitStatus.SINGULAR)


@dataclass(frozen=True, slots=True)
class Quantity:
    """How one column compares with the truth in one range of signal-to-noise ratios.

    Parameters
    ----------
    name : str
        Column of the run.
    snr : (low, high)
        Range of the true signal-to-noise ratio.
    n : int
        Rows with a value and an error.
    bias, scatter : float
        Median and robust width of fitted minus true, in the column's unit.
    pull_median, pull_width, pull_half68 : float
        Of the pull: median, 1.4826 MAD, half the width of the middle 68.3 %.
    within_1, within_2 : float
        Share of pulls within 1 and 1.96.
    """

    name: str
    snr: tuple[float, float]
    n: int
    bias: float
    scatter: float
    pull_median: float
    pull_width: float
    pull_half68: float
    within_1: float
    within_2: float


@dataclass(frozen=True, slots=True)
class Detection:
    """What became of the rows in one range of signal-to-noise ratios.

    Parameters
    ----------
    snr : (low, high)
        Range of the true signal-to-noise ratio.
    n : int
        Rows that could be fitted.
    undetected : float
        Share the fit calls NO_DATA, NO_SIGNAL or SINGULAR.
    flagged : float
        Share of the others with any status bit but NONFINITE.
    wrong : float
        Share of the others whose velocity is off by more than `WRONG_KMS`.
    wrong_unflagged : float
        The same among those without SEEDS_DISAGREE.
    chi2_dof : float
        Sum of chi2 over sum of dof.
    """

    snr: tuple[float, float]
    n: int
    undetected: float
    flagged: float
    wrong: float
    wrong_unflagged: float
    chi2_dof: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run held against its truth; `pulls` keeps those above `GOOD_SNR` for pictures."""

    quantities: tuple[Quantity, ...]
    detections: tuple[Detection, ...]
    pulls: dict[str, Array]

    def above(self, snr: float) -> tuple[dict[str, Quantity], Detection]:
        """Quantities by name, and detection, of all rows above a ratio that was compared."""
        whole = (snr, np.inf)
        found = {q.name: q for q in self.quantities if q.snr == whole}
        return found, next(d for d in self.detections if d.snr == whole)

    def to_dict(self) -> dict[str, list[dict]]:
        """Give what ``--json`` writes; infinite limits become null."""

        def plain(record: Quantity | Detection) -> dict:
            low, high = record.snr
            return {**asdict(record), "snr": [low, high if np.isfinite(high) else None]}

        return {
            "quantities": [plain(q) for q in self.quantities],
            "detections": [plain(d) for d in self.detections],
        }


def compare(fitted: pa.Table, truth: pa.Table) -> Comparison:
    """Compare the rows of a run with the truth at their positions.

    Parameters
    ----------
    fitted : pyarrow.Table
        Table of an optical run.
    truth : pyarrow.Table
        Truth table of the simulated cube.

    Returns
    -------
    Comparison
        In the ranges `BINS`, and above 5 and `GOOD_SNR`.

    Raises
    ------
    InputError
        If no row of the run lies in the simulated field, or they share no line.
    """
    run, true = _matched(fitted, truth)
    fittable = np.isin(true["bad"], _FITTABLE)
    detected = fittable & (run["status"] & _UNDETECTED == 0)
    ranges = (*BINS, (5.0, np.inf), (GOOD_SNR, np.inf))
    names = ["velocity", "broadening", "continuum"]
    shared = [line for line in line_names(fitted.schema) if f"{line}_flux" in true]
    if not shared:
        raise InputError("compare: the run and the truth share no line; were they made together?")
    names += [f"{line}_{suffix}" for line in shared for suffix in ("flux", "amplitude")]
    quantities, detections = [], []
    for snr in ranges:
        inside = (true["snr"] >= snr[0]) & (true["snr"] < snr[1])
        detections.append(_detection(run, true, snr, fittable & inside))
        for name in names:
            rows = detected & inside
            quantities.append(_quantity(name, snr, run, true[name], rows))
    good = detected & (true["snr"] > GOOD_SNR)
    pulls = {name: _pull(name, run, true[name], good) for name in names}
    return Comparison(tuple(quantities), tuple(detections), pulls)


def _matched(fitted: pa.Table, truth: pa.Table) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
    """Columns of the run, and those of the truth in the order of the run's rows."""
    width = 1 + max(_top(fitted["y"]), _top(truth["y"]))
    run_place = fitted["x"].to_numpy().astype(np.int64) * width + fitted["y"].to_numpy()
    true_place = truth["x"].to_numpy().astype(np.int64) * width + truth["y"].to_numpy()
    order = np.argsort(true_place)
    at = np.searchsorted(true_place[order], run_place)
    at = order[np.minimum(at, len(order) - 1)]
    known = true_place[at] == run_place
    if not known.any():
        raise InputError(
            f"compare: none of the run's {len(fitted)} spaxels is among the {len(truth)} of the "
            "truth; name the truth of the cube that was fitted"
        )
    run = {name: fitted[name].to_numpy()[known] for name in fitted.column_names}
    true = {name: truth[name].to_numpy()[at[known]] for name in truth.column_names}
    return run, true


def _top(column: pa.ChunkedArray) -> int:
    return int(column.to_numpy().max()) if len(column) else 0


def _pull(name: str, run: dict[str, NDArray], true: Array, rows: NDArray[np.bool_]) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = (run[name][rows] - true[rows]) / run[f"{name}_err"][rows]
    return pull[np.isfinite(pull)]


def _quantity(
    name: str,
    snr: tuple[float, float],
    run: dict[str, NDArray],
    true: Array,
    rows: NDArray[np.bool_],
) -> Quantity:
    pull = _pull(name, run, true, rows)
    offset = run[name][rows] - true[rows]
    offset = offset[np.isfinite(offset)]
    if pull.size < 2:
        return Quantity(name, snr, pull.size, *[float("nan")] * 7)
    low, high = np.percentile(pull, (15.87, 84.13))
    return Quantity(
        name=name,
        snr=snr,
        n=pull.size,
        bias=float(np.median(offset)),
        scatter=_width(offset),
        pull_median=float(np.median(pull)),
        pull_width=_width(pull),
        pull_half68=float(0.5 * (high - low)),
        within_1=float(np.mean(np.abs(pull) < 1)),
        within_2=float(np.mean(np.abs(pull) < 1.96)),
    )


def _width(values: Array) -> float:
    """Robust standard deviation: 1.4826 times the median absolute deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def _detection(
    run: dict[str, NDArray],
    true: dict[str, NDArray],
    snr: tuple[float, float],
    rows: NDArray[np.bool_],
) -> Detection:
    status = run["status"][rows]
    seen = status & _UNDETECTED == 0
    doubtful = status[seen] & int(FitStatus.SEEDS_DISAGREE) != 0
    off = np.abs(run["velocity"][rows][seen] - true["velocity"][rows][seen]) > WRONG_KMS
    chi2, dof = run["chi2"][rows][seen], run["dof"][rows][seen]
    counted = np.isfinite(chi2)
    return Detection(
        snr=snr,
        n=int(rows.sum()),
        undetected=_share(~seen),
        flagged=_share(status[seen] & ~int(FitStatus.NONFINITE) != 0),
        wrong=_share(off),
        wrong_unflagged=_share(off[~doubtful]),
        chi2_dof=float(chi2[counted].sum() / max(dof[counted].sum(), 1)),
    )


def _share(condition: NDArray[np.bool_]) -> float:
    return float(np.mean(condition)) if condition.size else float("nan")
