"""How fast spectra are fitted: all engines on the same spectra from the same starts, in one run.

Rounds go round all engines, so that what else the machine does hits them alike. Each engine is
given so many copies of a round's spectra that it works for about as long as the others, in the
order of their line widths: a batch then spans a few thousandths of width, as a column of SITELLE's
field does. What is quoted are medians over rounds, of the ratio to scipy within a round: by the
clock, and by the seconds that cores worked, which hardly depend on what else runs.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from threadpoolctl import threadpool_limits

from .bench_compiled import Tables, build_tables, numba_engine, reduced_engine
from .bench_problem import Problem, synthetic
from .fit_engines import fit_numpy, fit_scipy

_AGREE = 1e-3  # in chi2

Work = Callable[[], NDArray]


@dataclass(frozen=True, slots=True)
class Speed:
    """How an engine did.

    Parameters
    ----------
    engine : str
        scipy (residuals and Jacobian are functions of their own), scipy with what they have in
        common computed once, numpy, numba (the direct kernel), the reduced basis finding alone,
        and the reduced basis with its exact polish.
    threads : int
    spectra_per_second : float
        Median over rounds.
    ratio : float
        Times scipy on one core, by the clock: median over rounds of the ratio within a round.
    low, high : float
        Smallest and largest ratio of a round.
    core_ratio : float
        Times scipy, by the seconds that cores worked.
    times_one : float or None
        Times the same engine on one thread: median over rounds; None where that was not timed.
    agree : float
        Share of the spectra whose chi2 is within 1e-3 of scipy's; of the search alone, the chi2
        of its tables, which nobody publishes.
    spectra : int
        Different spectra fitted.
    tables_s, tables_core_s : float or None
        Seconds that building the engine's tables took before, by the clock and as cores worked.
    tables_bytes, tables_classes : int or None
        Their size, and the classes of line width that they are for.
    """

    engine: str
    threads: int
    spectra_per_second: float
    ratio: float
    low: float
    high: float
    core_ratio: float
    times_one: float | None
    agree: float
    spectra: int
    tables_s: float | None = None
    tables_core_s: float | None = None
    tables_bytes: int | None = None
    tables_classes: int | None = None


class _Engine(NamedTuple):
    """What is timed: `prepare` takes what no engine would do twice out of the time."""

    name: str
    threads: int
    prepare: Callable[[Problem], Work]
    tables: Tables | None = None


class _Turn(NamedTuple):
    """One engine in one round."""

    rate: float  # spectra per second
    core_rate: float  # per second of work
    chi2: NDArray


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the engines are timed.

    Parameters
    ----------
    rounds : int
        Times that the engines take turns.
    seconds : float
        An engine works in a round, or as long as it takes to fit a round's spectra once.
    tolerance : float
        Of scipy: ftol, xtol and gtol.
    """

    rounds: int = 7
    seconds: float = 0.3
    tolerance: float = 1e-10


def fit(spectra: int, threads: Sequence[int], timing: Timing, *, seed: int = 0) -> list[Speed]:
    """Time all engines.

    Parameters
    ----------
    spectra : int
        Different spectra, an equal share of them in each round.
    threads : sequence of int
        Threads that the compiled engines are timed with.
    timing : Timing
    seed : int
        Of the spectra.

    Returns
    -------
    list of Speed
        scipy, numpy, then each compiled engine for each number of threads.
    """
    problem = synthetic(spectra, seed=seed)
    edges = np.linspace(0, spectra, timing.rounds + 1).astype(int)
    parts = [problem.part(slice(a, b)) for a, b in pairwise(edges)]
    with threadpool_limits(limits=1):
        engines = _engines(threads, timing.tolerance, build_tables(problem))
        copies = [_copies(engine, parts[0], timing.seconds) for engine in engines]
        taken = [
            [_turn(engine, part, count) for engine, count in zip(engines, copies, strict=True)]
            for part in parts
        ]
    alone = {engine.name: k for k, engine in enumerate(engines) if engine.threads == 1}
    columns = list(zip(*taken, strict=True))
    found = []
    for engine, turns in zip(engines, columns, strict=True):
        one = columns[alone[engine.name]] if engine.name in alone else None
        found.append(_speed(engine, turns, base=columns[0], one=one))
    return found


def _engines(threads: Sequence[int], tolerance: float, tables: Tables) -> list[_Engine]:
    engines = [
        _Engine("scipy", 1, lambda p: partial(fit_scipy, p, tolerance=tolerance)),
        _Engine(
            "scipy, shared", 1, lambda p: partial(fit_scipy, p, tolerance=tolerance, shared=True)
        ),
        _Engine("numpy", 1, lambda p: partial(fit_numpy, p)),
    ]
    engines += [_Engine("numba", count, partial(numba_engine, threads=count)) for count in threads]
    for name, polished in (("reduced, finding", False), ("reduced", True)):
        for count in threads:
            prepare = partial(
                reduced_engine, threads=count, engine=tables.engine, polished=polished
            )
            engines.append(_Engine(name, count, prepare, tables))
    return engines


def _copies(engine: _Engine, problem: Problem, seconds: float) -> int:
    """Count the copies of the spectra that keep an engine busy for as long as is asked."""
    engine.prepare(problem.part(slice(0, 1)))()  # compiles
    count = 1
    while (taken := count * len(problem.data) / _turn(engine, problem, count).rate) < seconds / 4:
        count *= 4
    return max(1, round(count * seconds / taken))


def _turn(engine: _Engine, problem: Problem, copies: int) -> _Turn:
    """Time an engine; chi2 is that of the first copy."""
    many = problem.repeated(copies)
    order = np.argsort(many.width, kind="stable")
    work = engine.prepare(many.part(order))
    clock, cores = time.perf_counter(), time.process_time()
    chi2 = work()
    clock, cores = time.perf_counter() - clock, time.process_time() - cores
    chi2[order] = chi2.copy()
    return _Turn(len(chi2) / clock, len(chi2) / max(cores, 1e-9), chi2[: len(problem.data)])


def _speed(
    engine: _Engine, turns: Sequence[_Turn], *, base: Sequence[_Turn], one: Sequence[_Turn] | None
) -> Speed:
    """Sum up an engine's rounds beside those of scipy, and of itself on one thread."""
    ratios = [own.rate / other.rate for own, other in zip(turns, base, strict=True)]
    work = [own.core_rate / other.core_rate for own, other in zip(turns, base, strict=True)]
    off = [np.abs(own.chi2 - other.chi2) for own, other in zip(turns, base, strict=True)]
    alone = [own.rate / other.rate for own, other in zip(turns, one or (), strict=False)]
    tables = engine.tables
    return Speed(
        engine.name,
        engine.threads,
        spectra_per_second=round(statistics.median(own.rate for own in turns), 1),
        ratio=round(statistics.median(ratios), 1),
        low=round(min(ratios), 1),
        high=round(max(ratios), 1),
        core_ratio=round(statistics.median(work), 1),
        times_one=round(statistics.median(alone), 3) if alone else None,
        agree=round(float(np.mean(np.concatenate(off) < _AGREE)), 5),
        spectra=sum(part.size for part in off),
        tables_s=tables and tables.seconds,
        tables_core_s=tables and tables.core_seconds,
        tables_bytes=tables and tables.nbytes,
        tables_classes=tables and tables.classes,
    )


def table(speeds: Sequence[Speed]) -> Table:
    """Lay out the engines for a terminal."""
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    found.add_column("engine", no_wrap=True)
    headings = ("threads", "spectra/s", "x scipy", "rounds", "per core", "x 1", "agree")
    for heading in headings:
        found.add_column(heading, justify="right", no_wrap=True)
    for speed in speeds:
        found.add_row(
            speed.engine,
            f"{speed.threads}",
            f"{speed.spectra_per_second:,.0f}",
            f"{speed.ratio:.4g}",
            f"{speed.low:.4g} to {speed.high:.4g}",
            f"{speed.core_ratio:.4g}",
            "" if speed.times_one is None else f"{speed.times_one:.2f}",
            f"{speed.agree:.2%}",
        )
    return found


def tables_line(speeds: Sequence[Speed]) -> str:
    """Say what the tables took that were built before."""
    speed = next(speed for speed in speeds if speed.tables_bytes is not None)
    return (
        f"tables for {speed.tables_classes} classes of line width, built before: "
        f"{speed.tables_s:.1f} s ({speed.tables_core_s:.1f} s of work), "
        f"{(speed.tables_bytes or 0) / 2**20:.0f} MiB"
    )
