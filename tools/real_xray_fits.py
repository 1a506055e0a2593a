"""Fit real X-ray spectra and lay the numbers beside XSPEC's library and what others found.

``python -m streamfit.tools.real_xray_fits DATA_DIR`` fits Abell 2029 (ASCA), four quasars and radio
galaxies (Chandra), and simulated clusters, each three times: our fit, our posterior under the broad
prior, and XSPEC's models with scipy (`xspec_fitter`). Without ``xspectrampoline`` that column is
left out.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..io.errors import InputError
from ..io.ogip import Links, read_observation
from ..kernels.xray_fit import Member, Task, XrayFit, default_starts, fit
from ..kernels.xray_model import MODELS
from ..kernels.xray_posterior import XrayPosterior, sample
from ..models.plasma_table import load_plasma
from ..stream.xray_member import member_of
from .xray_fit_trials import trial
from .xspec_fitter import XspecFit, XspecFitter
from .xspec_library import XspecLibrary

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Source:
    """A spectrum and what is known of it.

    Parameters
    ----------
    file, target : str
    model : str
        Key of `MODELS`.
    redshift : float
    known : dict
        Values of simple fits by others, or the truth of a simulation.
    links : Links
        Files the header does not name.
    """

    file: str
    target: str
    model: str
    known: dict[str, float]
    redshift: float = 0.0
    links: Links | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """Three results of one source."""

    source: Source
    task: Task
    fit: XrayFit
    posterior: XrayPosterior
    xspec: XspecFit | None


SOURCES = (
    Source(
        "sis0.pha",
        "Abell 2029",
        "apec1",
        {"kT": 6.60, "abundance": 0.41, "nH": 0.077},
        redshift=0.0773,  # Sohn et al. 2019, ApJ 871, 129
        links=Links(arf="sis0.arf", rmf="sis0.rmf"),
    ),
    Source("q1127_src1.pi", "PKS 1127-145", "powerlaw", {"index": 1.25}),
    Source("9774.pi", "3C 186", "powerlaw", {"index": 1.73}),
    Source("qso.pi", "PKS 0537-28", "powerlaw", {"index": 1.26}),
    Source("12845.pi", "B3 0710+439", "powerlaw", {"index": 1.67, "nH": 0.36}),
)
SIMULATED = (("apec1", 3, 3e3), ("apec1", 8, 3e4))


def tasks(folder: Path) -> Iterator[tuple[Source, Task]]:
    """Open the real spectra, then simulate.

    Raises
    ------
    InputError
        If a spectrum is not there or cannot be used.
    """
    for source in SOURCES:
        path = folder / source.file
        if not path.is_file():
            raise InputError(f"{path}: not there; give the folder of the X-ray data")
        links = source.links and Links(
            **{name: str(folder / getattr(source.links, name)) for name in ("arf", "rmf")}
        )
        member = member_of(read_observation(path, links=links))
        yield source, Task((member,), MODELS[source.model], load_plasma(), source.redshift)
    for model, number, counts in SIMULATED:
        one = trial(model, number, counts=(counts, counts), seed=4)
        names = MODELS[model].names
        known = {name: float(value) for name, value in zip(names, one.values, strict=True)}
        yield (
            Source("", f"simulated, {counts:.0f} counts", model, known, one.task.redshift),
            one.task,
        )


def compare(folder: Path, fitter: XspecFitter | None) -> list[Fitted]:
    """Fit everything."""
    found = []
    for source, task in tasks(folder):
        ours = fit(task, default_starts(task))
        posterior = sample(task, ours)
        (member,) = task.members
        theirs = None
        if fitter is not None:
            theirs = _independent(fitter, member, source, ours)
        found.append(Fitted(source, task, ours, posterior, theirs))
    return found


def _independent(fitter: XspecFitter, member: Member, source: Source, ours: XrayFit) -> XspecFit:
    """Fit with XSPEC's models, from two starts that are not ours."""
    first = np.maximum(ours.values, 1e-3) * 1.3
    tried = [
        fitter.fit(member, source.model, first, redshift=source.redshift),
        fitter.fit(member, source.model, ours.values * 0.8 + 1e-3, redshift=source.redshift),
    ]
    return min(tried, key=lambda one: one.statistic)


def table(found: Sequence[Fitted]) -> str:
    """Put everything into a table of Markdown."""
    lines = [
        "| spectrum | statistic (expected) | parameter | fit | posterior | XSPEC | known |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for one in found:
        label = one.source.target
        theirs = "" if one.xspec is None else f"; {one.xspec.statistic:.1f}"
        statistic = f"{one.fit.statistic:.1f}{theirs} ({one.fit.expected:.0f})"
        for index, parameter in enumerate(one.task.model.parameters):
            numbers = [
                _pair(one.fit.values[index], one.fit.errors[index]),
                _pair(one.posterior.mean[index], one.posterior.sigma[index]),
                ""
                if one.xspec is None
                else _pair(one.xspec.values[index], one.xspec.errors[index]),
                f"{known:.4g}" if (known := one.source.known.get(parameter.name)) else "",
            ]
            lines.append(f"| {label} | {statistic} | {parameter.name} | {' | '.join(numbers)} |")
            label = statistic = ""
    return "\n".join(lines)


def _pair(value: float, error: float) -> str:
    """Write a value with its error to two digits of it."""
    digits = max(0, 1 - int(np.floor(np.log10(error)))) if error > 0 else 4
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the X-ray data")
    arguments = parser.parse_args(argv)
    try:
        fitter: XspecFitter | None = XspecFitter(XspecLibrary())
    except ImportError:
        fitter = None
    try:
        print(table(compare(arguments.data, fitter)))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
