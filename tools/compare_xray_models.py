"""Hold fits and posteriors of X-ray sources against nested sampling, the truth, and the bound.

    python -m streamfit.tools.compare_xray_models nested     importance sampling beside dynesty
    python -m streamfit.tools.compare_xray_models coverage   posteriors and fits beside the truth
    python -m streamfit.tools.compare_xray_models evidence   one temperature or two

Each draws `--number` spectra (`xray_fit_trials`), writes a line of JSON for each to `-o` as it
goes, and prints what comes of all. Posteriors start from the fit alone, without a network.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ..kernels.xray_fit import Task, default_starts, fit
from ..kernels.xray_model import MODELS, SourceModel, to_coordinates, to_values
from ..kernels.xray_posterior import XrayPosterior, nested, sample
from ..kernels.xray_scoring import information
from .xray_fit_trials import CLUSTERS, Trial, asimov, narrowed, trial

Array = NDArray[np.float64]
Row = dict[str, Any]

_MIX = "apec1", "powerlaw", "apec2"  # of the comparison with dynesty
_LIVE = 2000
_RUNS = 2  # of dynesty, which tell how far it agrees with itself
_REACH = 6.0  # standard deviations
_RATIO = 3.0, 6.0  # of two temperatures told apart
_BRIGHT = 2000.0  # counts above which fits are held to the bound
_CLEAR = 0.3  # part of the counts of the cooler plasma that it takes to be seen in all cases
_FALSE = 0.02  # part of spectra of one temperature that a test may take for two
_ODDS = 3.0  # for two temperatures, above which they are preferred


def nested_row(number: int, draws: int) -> Row:
    """Sample one spectrum both ways.

    The prior is cut to six standard deviations about the fit, of two plasmas to what they may be in
    any proportion: the error of dynesty's evidence is the root of the information gained over the
    live points, and has to be small.
    """
    one = trial(_MIX[number % len(_MIX)], number, counts=(500.0, 5e4), seed=1)
    task = replace(one.task, model=(_cut_two if one.task.model.ordered else _cut)(one.task))
    ours = _posterior(task, draws)
    theirs = [nested(task, live=_LIVE, seed=100 * run + number) for run in range(_RUNS)]
    row: Row = {
        "model": task.model.name,
        "counts": one.counts,
        "part": _cooler_part(one) if one.task.model.ordered else 0.0,
    }
    return row | beside(ours, theirs)


def beside(ours: XrayPosterior, theirs: Sequence[XrayPosterior]) -> Row:
    """Put a posterior beside the mean of dynesty's runs, and these beside their mean."""
    each, wide = (np.array([getattr(one, name) for one in theirs]) for name in ("mean", "sigma"))
    evidence = np.array([one.log_evidence for one in theirs])
    claimed = np.sqrt(np.mean([one.log_evidence_error**2 for one in theirs]) / len(theirs))
    mean = each.mean(axis=0)
    sigma = np.sqrt(np.mean(wide**2 + each**2, axis=0) - mean**2)
    return {
        "dynesty": [mean.tolist(), sigma.tolist(), float(evidence.mean())],
        "k_hat": ours.k_hat,
        "effective": [ours.effective, float(np.mean([one.effective for one in theirs]))],
        "mean": ((ours.mean - mean) / sigma).tolist(),
        "sigma": (ours.sigma / sigma).tolist(),
        "log_evidence": ours.log_evidence - float(evidence.mean()),
        "error": float(np.hypot(ours.log_evidence_error, claimed)),
        "own": [
            ((each - mean) / sigma).tolist(),
            (wide / sigma - 1.0).tolist(),
            (evidence - evidence.mean()).tolist(),
        ],
        "evaluations": [ours.evaluations, float(np.mean([one.evaluations for one in theirs]))],
    }


def _cut(task: Task) -> SourceModel:
    """Give the model with a prior of six standard deviations about the fit."""
    found = fit(task, default_starts(task))
    prior, sigma = task.prior(), np.sqrt(np.diag(found.covariance))
    low, high = (
        to_values(task.model, np.clip(found.coordinates + side * sigma, prior.low, prior.high))
        for side in (-_REACH, _REACH)
    )
    return narrowed(
        task.model, {name: (low[i], high[i]) for i, name in enumerate(task.model.names)}
    )


def _cut_two(task: Task) -> SourceModel:
    """Give two plasmas with all norms that share what a fit of one plasma finds, and its column."""
    one = _cut(replace(task, model=MODELS["apec1"]))
    ends = {name.name: (name.low, name.high) for name in one.parameters}
    norm = float(np.sqrt(ends["norm"][0] * ends["norm"][1]))
    cut = {"nH": ends["nH"], "norm": (norm / 15.0, norm * 1.5)}
    return narrowed(task.model, cut | {name: CLUSTERS[name] for name in ("kT", "kT2")})


def nested_summary(rows: list[Row]) -> str:
    """Put the comparison with dynesty into words, for all and for each model."""
    names = sorted({row["model"] for row in rows})
    parts = [rows] if len(names) > 1 else []
    parts += [[row for row in rows if row["model"] == name] for name in names]
    return "\n".join(_against(part) for part in parts)


def _against(rows: list[Row]) -> str:
    """Put the comparison of some spectra into words."""
    mean, sigma = (np.concatenate([row[key] for row in rows]) for key in ("mean", "sigma"))
    wide = np.abs(sigma - 1.0)
    evidence = np.array([row["log_evidence"] for row in rows])
    error = np.array([row["error"] for row in rows])
    ours, theirs = np.array([row["evaluations"] for row in rows]).T
    counting = np.median([row["effective"] for row in rows], axis=0)
    own = [_rms_of_mean([row["own"][place] for row in rows]) for place in range(3)]
    return "\n".join(
        [
            f"{len(rows)} spectra of {', '.join(sorted({row['model'] for row in rows}))}, "
            f"{mean.size} parameters; k-hat at most {max(row['k_hat'] for row in rows):.2f}",
            f"means     rms {np.sqrt(np.mean(mean**2)):.3f} sigma, at most "
            f"{np.abs(mean).max():.3f}; within 0.1: {np.mean(np.abs(mean) < 0.1):.1%}; "
            f"dynesty's own error {own[0]:.3f}",
            f"sigmas    ratio {sigma.mean():.3f} +- {sigma.std():.3f}, at most "
            f"{wide.max():.3f} off; within 10 %: {np.mean(wide < 0.1):.1%}; "
            f"dynesty's own error {own[1]:.3f}",
            f"evidence  mean {evidence.mean():+.3f}, rms {np.sqrt(np.mean(evidence**2)):.3f}, over "
            f"its errors {np.sqrt(np.mean((evidence / error) ** 2)):.2f}; within 0.2: "
            f"{np.sum(np.abs(evidence) < 0.2)}; dynesty's own error {own[2]:.3f}",
            f"likelihoods {np.median(ours):.0f} against {np.median(theirs):.0f} a run, "
            f"{np.median(theirs / ours):.1f} times fewer; draws that count {counting[0]:.0f} "
            f"against {counting[1]:.0f}",
        ]
    )


def _rms_of_mean(own: list[list[Any]]) -> float:
    """Give the rms error of the mean of runs, from how far each lies from it; NaN of one run."""
    squares = [
        np.square(one).sum(axis=0) / (len(one) * (len(one) - 1)) for one in own if len(one) > 1
    ]
    return float(np.sqrt(np.mean(np.hstack(squares)))) if squares else float("nan")


def coverage_row(number: int, draws: int) -> Row:
    """Fit a cluster; sample it under the prior it was drawn from, and under the broad one."""
    one = trial("apec1", number, counts=(500.0, 5e4), seed=2)
    found = fit(one.task, default_starts(one.task))
    truth = to_coordinates(one.task.model, one.values)
    bound = np.sqrt(np.diag(np.linalg.inv(information(one.task.folding(), truth))))
    row: Row = {
        "counts": one.counts,
        "truth": one.values.tolist(),
        "fit": ((found.coordinates - truth) / bound).tolist(),
        "outcome": found.outcome,
    }
    for name, task in (("drawn", one.within(CLUSTERS)), ("broad", one.task)):
        posterior = _posterior(task, draws)
        below = (posterior.draws < one.values).mean(axis=0)
        row[name] = {"below": below.tolist(), "k_hat": posterior.k_hat}
    return row


def coverage_summary(rows: list[Row]) -> str:
    """Put coverage and scatter into words."""
    lines = []
    names = MODELS["apec1"].names
    for prior in ("drawn", "broad"):
        away = np.abs(np.array([row[prior]["below"] for row in rows]) - 0.5)
        each = ", ".join(
            f"{name} {np.mean(part < 0.3413):.1%} {np.mean(part < 0.475):.1%}"
            for name, part in zip(names, away.T, strict=True)
        )
        trusted = np.mean([row[prior]["k_hat"] < 0.7 for row in rows])
        lines.append(
            f"prior {prior}: 68 % hold {np.mean(away < 0.3413):.1%}, 95 % hold "
            f"{np.mean(away < 0.475):.1%} ({each}); k-hat under 0.7: {trusted:.1%}"
        )
    bright = np.array([row["fit"] for row in rows if row["counts"] > _BRIGHT])
    if not bright.size:
        return "\n".join([f"{len(rows)} spectra", *lines])
    rms = np.sqrt(np.mean(bright**2, axis=0))
    lines.append(
        f"{len(bright)} fits above {_BRIGHT:.0f} counts, rms over the Cramer-Rao bound: "
        + ", ".join(f"{name} {one:.3f}" for name, one in zip(names, rms, strict=True))
        + f"; bias of kT {bright[:, 0].mean():+.3f}"
    )
    return "\n".join([f"{len(rows)} spectra", *lines])


def evidence_row(number: int, draws: int) -> Row:
    """Weigh two temperatures against one, on a spectrum of two and then on two of one."""
    two = number % 3 == 0
    one = trial(
        "apec2" if two else "apec1",
        number,
        counts=(1e4, 1e4),
        seed=3,
        ratio=_RATIO if two else None,
    )
    first, second = (
        _posterior(replace(one.task, model=MODELS[name]), draws) for name in ("apec1", "apec2")
    )
    return {
        "part": _cooler_part(one) if two else 0.0,
        "truth": one.values.tolist(),
        "log_odds": second.log_evidence - first.log_evidence,
        "k_hat": [first.k_hat, second.k_hat],
        "trusted": first.trusted and second.trusted,
        "evaluations": [first.evaluations, second.evaluations],
        "power": _power(one) if two else 0.0,
    }


def _power(one: Trial) -> float:
    """Give how often the best test there is finds the second plasma.

    Nothing is more powerful than the ratio of the likelihoods of the true spectrum and of the one
    plasma most like it (Neyman & Pearson 1933). Its logarithm is as good as Gaussian, with a mean
    of +-D / 2 and a variance of D, where D is the statistic of that plasma at the counts expected.
    """
    task = replace(asimov(one), model=MODELS["apec1"])
    distance = max(fit(task, default_starts(task)).statistic, 0.0)
    return float(ndtr(np.sqrt(distance) + ndtri(_FALSE)))


def evidence_summary(rows: list[Row]) -> str:
    """Put the choice between one and two temperatures into words."""
    groups = {
        "two temperatures": [row for row in rows if row["part"] > 0],
        f"two, {_CLEAR:.0%} of the counts or more of the cooler": [
            row for row in rows if row["part"] >= _CLEAR
        ],
        "one temperature": [row for row in rows if row["part"] == 0],
    }
    lines = []
    for label, chosen in groups.items():
        if not chosen:
            continue
        odds = np.array([row["log_odds"] for row in chosen])
        shares = ", ".join(
            f"over {limit:g}: {np.mean(odds > np.log(limit)):.1%}" for limit in (1.0, _ODDS, 10.0)
        )
        lines.append(
            f"{odds.size} spectra of {label}: odds for two {shares}; median ln odds "
            f"{np.median(odds):+.1f}, from {odds.min():+.1f} to {odds.max():+.1f}"
        )
        if chosen[0]["part"] > 0:
            power = np.mean([row["power"] for row in chosen])
            lines.append(
                f"  the best test that is wrong in {_FALSE:.0%} of those of one finds {power:.1%}"
            )
    return "\n".join(lines)


def _cooler_part(one: Trial) -> float:
    """Give the part of the source's counts that the cooler of two plasmas makes."""
    points = np.stack([one.values, one.values])
    points[1, one.task.model.names.index("second")] = 1e-12
    both, hotter = one.task.folding().source(to_coordinates(one.task.model, points)).sum(axis=1)
    return float(1.0 - hotter / both)


def _posterior(task: Task, draws: int) -> XrayPosterior:
    """Fit, then sample."""
    return sample(task, fit(task, default_starts(task)), draws=draws)


Comparison = tuple[Callable[[int, int], Row], Callable[[list[Row]], str], int]
COMPARISONS: dict[str, Comparison] = {
    "nested": (nested_row, nested_summary, 40),
    "coverage": (coverage_row, coverage_summary, 300),
    "evidence": (evidence_row, evidence_summary, 300),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=COMPARISONS)
    parser.add_argument("--number", type=int, metavar="N", help="spectra")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="of the spectra")
    parser.add_argument("--draws", type=int, default=2000, metavar="N", help="of a round")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="JSONL")
    arguments = parser.parse_args(argv)
    make, summarise, usual = COMPARISONS[arguments.what]
    rows: list[Row] = []
    with arguments.output.open("w") as stream:
        for number in range(arguments.first, arguments.first + (arguments.number or usual)):
            rows.append(make(number, arguments.draws))
            stream.write(json.dumps(rows[-1]) + "\n")
            stream.flush()
    print(summarise(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
