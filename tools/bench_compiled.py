"""The compiled engines that `bench fit` times: the direct kernel, and the reduced basis.

Both are what `stream-fit optical` runs, on batches of the size that it takes, shared among Python
threads; the compiled loops hold no lock. The reduced basis first finds, then the exact model
polishes. Its tables are built beforehand, one set for each class of line width, and what that took
is told apart: a cube pays for it once.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..kernels.basis import width_class
from ..kernels.emission import Continuum, Emission, Shape, tie
from ..kernels.polish import polish
from ..kernels.reduced import ReducedEngine
from ..kernels.varpro import Geometry, fit
from .bench_problem import BOUNDS, LINES, WINDOW, Problem

Array = NDArray[np.float64]

_BATCH = 4096  # spectra: the batch of `stream-fit optical` under its own bound on memory
_CONTINUUM = Continuum((WINDOW,), 0)


@dataclass(frozen=True, slots=True)
class Tables:
    """An engine whose tables are built, and what they took.

    Parameters
    ----------
    engine : ReducedEngine
    classes : int
        Of line width.
    seconds, core_seconds : float
        To build them, by the clock and as cores worked.
    nbytes : int
        They hold.
    """

    engine: ReducedEngine
    classes: int
    seconds: float
    core_seconds: float
    nbytes: int


def build_tables(problem: Problem) -> Tables:
    """Build the tables that the spectra of a problem ask for, on one thread.

    What is not compiled yet is compiled first.
    """
    step = problem.axis[1] - problem.axis[0]
    classes, first = np.unique(
        width_class(Shape.SINCGAUSS, problem.width / step), return_index=True
    )
    _find(ReducedEngine(_emission(problem), _CONTINUUM, BOUNDS), problem.part(first[:1]))
    engine = ReducedEngine(_emission(problem), _CONTINUUM, BOUNDS)
    asking = problem.part(first)
    clock, cores = time.perf_counter(), time.process_time()
    _find(engine, asking)
    clock, cores = time.perf_counter() - clock, time.process_time() - cores
    return Tables(engine, classes.size, round(clock, 3), round(cores, 3), engine.nbytes)


def _find(engine: ReducedEngine, problem: Problem) -> None:
    with threadpool_limits(limits=1):  # as a run has it
        reduced_engine(problem, 1, engine, polished=False)()


def numba_engine(problem: Problem, threads: int) -> Callable[[], Array]:
    """Prepare the direct fit; the function returned fits all and gives chi2, shape (spaxel,).

    Parameters
    ----------
    problem : Problem
    threads : int
        Python threads that share the spectra.
    """
    emission, data = _emission(problem), problem.data.astype(np.float32)
    weight = np.repeat(1 / problem.noise[:, None], problem.axis.size, axis=1)

    def share(rows: slice) -> Array:
        return fit(
            data[rows],
            weight[rows],
            emission,
            _CONTINUUM,
            _geometry(problem, rows),
            start=_start(problem, rows),
            bounds=BOUNDS,
        ).chi2

    return _shared(share, len(data), threads)


def reduced_engine(
    problem: Problem, threads: int, engine: ReducedEngine, *, polished: bool
) -> Callable[[], Array]:
    """Prepare the fit on a reduced basis; the function returned gives chi2, shape (spaxel,).

    Parameters
    ----------
    problem : Problem
    threads : int
        Python threads that share the spectra.
    engine : ReducedEngine
        With its tables.
    polished : bool
        True for the whole fit; False for the search alone, whose chi2 is that of the tables, NaN
        where a spectrum leaves them.
    """
    data = problem.data.astype(np.float32)

    def share(rows: slice) -> Array:
        noise, geometry = problem.noise[rows], _geometry(problem, rows)
        found = engine.find(data[rows], noise, geometry, start=_start(problem, rows))
        if not polished:
            return found.chi2
        return polish(
            data[rows],
            noise,
            engine.emission,
            engine.continuum,
            geometry,
            start=(found.velocity, found.broadening),
            near=found.found,
            bent=found.bent,
            bounds=BOUNDS,
        ).chi2

    return _shared(share, len(data), threads)


def _emission(problem: Problem) -> Emission:
    rest: dict[str, float] = dict(zip(LINES, problem.rest.tolist(), strict=True))
    return tie(rest, shape=Shape.SINCGAUSS, wavenumber=True)


def _geometry(problem: Problem, rows: slice) -> Geometry:
    """One axis for all, a width for each."""
    width = np.repeat(problem.width[rows, None], len(LINES), axis=1)
    return Geometry(problem.axis, np.ones(len(width)), width)


def _start(problem: Problem, rows: slice) -> tuple[NDArray, NDArray]:
    start = problem.start[rows]
    return start[:, :1], start[:, 1:]


def _shared(share: Callable[[slice], Array], spectra: int, threads: int) -> Callable[[], Array]:
    """Let threads share batches of equal size."""
    batches = max(threads, -(-spectra // _BATCH))
    edges = np.linspace(0, spectra, batches + 1).astype(int).tolist()
    parts = [slice(a, b) for a, b in pairwise(edges) if b > a]

    def run() -> Array:
        if threads == 1:
            return np.concatenate([share(rows) for rows in parts])
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(share, parts)))

    return run
