"""Measure how fast spectra are fitted.

``python -m streamfit.tools.bench fit`` times three engines on the same spectra from the same
starts: `scipy.optimize.least_squares` with an analytic Jacobian on one core (as it is called, and
with profiles shared between residuals and Jacobian), batches in numpy, and the numba kernel on one
thread and more. Rounds go round all engines, so that what else the machine does hits them alike,
and what is quoted are medians over rounds, of the ratio to scipy within a round: by the clock, and
by the seconds that cores worked, which hardly depend on what else runs.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from .fit_engines import Problem, fit_numpy, fit_scipy, numba_engine, synthetic

_AGREE = 1e-3  # in chi2
_BUSY = 0.3  # seconds that the kernel fits copies of a round's spectra


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures were measured on."""

    cpu: str
    cores: int
    load: float  # processes that ran in the last minute, ours included
    python: str
    numpy: str
    scipy: str
    numba: str

    @classmethod
    def here(cls) -> "Machine":
        """Describe this machine."""
        libraries = {name: version(name) for name in ("numpy", "scipy", "numba")}
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        load = psutil.getloadavg()[0]
        return cls(_cpu(), cores or 1, round(load, 1), platform.python_version(), **libraries)


def _cpu() -> str:
    """Name of the processor as the system gives it."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


@dataclass(frozen=True, slots=True)
class Speed:
    """How an engine did.

    Parameters
    ----------
    engine : str
        scipy (residuals and Jacobian are functions of their own), scipy with what they have in
        common computed once, numpy, numba.
    threads : int
    spectra_per_second : float
        Median over rounds.
    ratio : float
        Times scipy on one core, by the clock: median over rounds of the ratio within a round.
    low, high : float
        Smallest and largest ratio of a round.
    core_ratio : float
        Times scipy, by the seconds that cores worked.
    agree : float
        Share of the spectra whose chi2 is within 1e-3 of scipy's.
    spectra : int
        Different spectra fitted.
    """

    engine: str
    threads: int
    spectra_per_second: float
    ratio: float
    low: float
    high: float
    core_ratio: float
    agree: float
    spectra: int


def fit(
    spectra: int, threads: Sequence[int], rounds: int, *, seed: int = 0, tolerance: float = 1e-10
) -> list[Speed]:
    """Time all engines.

    Parameters
    ----------
    spectra : int
        Different spectra, an equal share of them in each round.
    threads : sequence of int
        Threads that the numba kernel is timed with.
    rounds : int
        Times that the engines take turns.
    seed : int
        Of the spectra.
    tolerance : float
        Of scipy: ftol, xtol and gtol.

    Returns
    -------
    list of Speed
        scipy, numpy, then numba for each number of threads.
    """
    problem = synthetic(spectra, seed=seed)
    edges = np.linspace(0, spectra, rounds + 1).astype(int)
    with threadpool_limits(limits=1):
        numba_engine(problem.part(slice(0, 8)), 1)()  # compiles
        quick = _timed(numba_engine(problem, 1)).rate
        taken = [
            _round(problem.part(slice(a, b)), threads, round(_BUSY * quick / (b - a)), tolerance)
            for a, b in pairwise(edges)
        ]
    names = [("scipy", 1), ("scipy, shared", 1), ("numpy", 1)]
    names += [("numba", count) for count in threads]
    return [_speed(*name, [(turn[0], turn[k]) for turn in taken]) for k, name in enumerate(names)]


class _Turn(NamedTuple):
    """One engine in one round."""

    rate: float  # spectra per second
    core_rate: float  # per second of work
    chi2: NDArray


def _round(problem: Problem, threads: Sequence[int], copies: int, tolerance: float) -> list[_Turn]:
    """Time each engine once."""
    taken = [_timed(lambda: fit_scipy(problem, tolerance=tolerance))]
    taken.append(_timed(lambda: fit_scipy(problem, tolerance=tolerance, shared=True)))
    taken.append(_timed(lambda: fit_numpy(problem)))
    many = problem.part(slice(None), copies=max(1, copies))
    for count in threads:
        turn = _timed(numba_engine(many, count))
        taken.append(turn._replace(chi2=turn.chi2[: len(problem.data)]))
    return taken


def _timed(work: Callable[[], NDArray]) -> _Turn:
    clock, cores = time.perf_counter(), time.process_time()
    chi2 = work()
    clock, cores = time.perf_counter() - clock, time.process_time() - cores
    return _Turn(len(chi2) / clock, len(chi2) / cores, chi2)


def _speed(engine: str, threads: int, taken: Sequence[tuple[_Turn, _Turn]]) -> Speed:
    """Sum up the rounds of (scipy, engine)."""
    ratios = [own.rate / base.rate for base, own in taken]
    off = np.concatenate([np.abs(own.chi2 - base.chi2) for base, own in taken])
    return Speed(
        engine,
        threads,
        spectra_per_second=round(statistics.median(own.rate for _, own in taken), 1),
        ratio=round(statistics.median(ratios), 1),
        low=round(min(ratios), 1),
        high=round(max(ratios), 1),
        core_ratio=round(statistics.median(o.core_rate / b.core_rate for b, o in taken), 1),
        agree=round(float(np.mean(off < _AGREE)), 5),
        spectra=off.size,
    )


def _table(speeds: Sequence[Speed]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("engine", no_wrap=True)
    for heading in ("threads", "spectra/s", "x scipy", "rounds", "per core", "agree"):
        table.add_column(heading, justify="right", no_wrap=True)
    for speed in speeds:
        table.add_row(
            speed.engine,
            f"{speed.threads}",
            f"{speed.spectra_per_second:,.0f}",
            f"{speed.ratio:.3g}",
            f"{speed.low:.3g} to {speed.high:.3g}",
            f"{speed.core_ratio:.3g}",
            f"{speed.agree:.1%}",
        )
    return table


def _counts(text: str) -> tuple[int, ...]:
    """Read ``1,2``."""
    counts = tuple(int(part) for part in text.split(","))
    if min(counts) < 1:
        raise ValueError(text)
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program: ``python -m streamfit.tools.bench fit``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    timing = commands.add_parser("fit", help="scipy, numpy and the numba kernel on one problem")
    timing.add_argument("-n", type=int, default=700, metavar="N", help="spectra (default 700)")
    timing.add_argument("--threads", type=_counts, default=(1, 2), metavar="1,2")
    timing.add_argument("--rounds", type=int, default=7, help="turns of all engines (default 7)")
    timing.add_argument("--seed", type=int, default=0)
    timing.add_argument("--tolerance", type=float, default=1e-10, help="of scipy (default 1e-10)")
    timing.add_argument("--json", action="store_true", help="write a JSON line for each engine")
    asked = parser.parse_args(argv)
    if not 1 <= asked.rounds <= asked.n:
        parser.error(f"{asked.n} spectra in {asked.rounds} rounds: give each round one or more")
    machine = Machine.here()
    speeds = fit(asked.n, asked.threads, asked.rounds, seed=asked.seed, tolerance=asked.tolerance)
    if asked.json:
        for speed in speeds:
            print(json.dumps({**asdict(speed), "machine": asdict(machine)}))
    else:
        console = Console(highlight=False)
        console.print(", ".join(f"{name} {value}" for name, value in asdict(machine).items()))
        console.print(_table(speeds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
