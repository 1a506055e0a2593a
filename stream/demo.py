"""The command `demo`: a small simulation, fitted live, drawn, and held against its truth.

What simulates and what compares are tools, which nothing here may import: the command hands them
in. The folder ends up with what was simulated and its truth, the run directory ``run``, the folder
``maps`` (of ``demo xray``: ``spectra``, and ``sources.csv`` with their redshifts) and the picture
``demo.png``.
"""

import argparse
import csv
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console, RenderableType

from ..io.errors import StorageError
from .commands import report, run_view
from .config import RunConfig, XrayConfig
from .engine import Outcome
from .job import Manners
from .labels import duration
from .maps import make_maps
from .run import start_run
from .xray_products import write_spectra

Simulate = Callable[[Path], Path]
"""Writes a cube to a path, or observations to a folder; gives the path of the truth."""

Compare = Callable[[Path, Path, Path], RenderableType]
"""Holds a run against a truth, draws both to a PNG; gives what is to be printed."""

Hold = Callable[[Path, Path], Sequence[RenderableType]]
"""Holds the fits of a run against a truth; gives what is to be printed."""

_FOLDER = Path("stream-fit-demo")


def demo(arguments: argparse.Namespace, *, simulate: Simulate, compare: Compare) -> int:
    """Run the demo.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``output``, ``no_tui`` and ``log_file``.
    simulate, compare : callable
        The tools.

    Returns
    -------
    int
        The exit code of the fit.

    Raises
    ------
    StorageError
        If the folder cannot be made.
    """
    begun = time.monotonic()
    folder = _make(arguments.output or _FOLDER)
    cube, run = folder / "cube.hdf5", folder / "run"
    _say("simulating a galaxy as SITELLE would see it in SN3")
    truth = simulate(cube)
    outcome = _run(RunConfig(stage="optical", input=str(cube.resolve())), run, arguments)
    if outcome.state != "done":
        return report(outcome, run)
    _say(str(make_maps(run, folder / "maps")))
    Console().print(compare(run, truth, folder / "demo.png"))
    _say(
        f"{folder / 'demo.png'}: the maps beside their truth; all of it took "
        f"{duration(time.monotonic() - begun)}"
    )
    return report(outcome, run)


def demo_xray(
    arguments: argparse.Namespace,
    *,
    simulate: Simulate,
    compare: Compare,
    hold: Hold,
    method: str = "rim",
) -> int:
    """Run the demo of X-ray spectra.

    Parameters
    ----------
    arguments, simulate, compare
        As of `demo`.
    hold : callable
        Holds the fits of a run against a truth.
    method : str
        That deconvolves.

    Plasmas are fitted to all observations, a power law in a run of its own to those that are one.

    Returns
    -------
    int
        The exit code of the run.

    Raises
    ------
    StorageError
        If the folder cannot be made.
    """
    begun = time.monotonic()
    folder = _make(arguments.output or _FOLDER / "xray")
    run = folder / "run"
    _say("simulating X-ray observations as a telescope like Chandra would make them")
    truth = simulate(folder / "observations")
    first, *more = (str(path.resolve()) for path in sorted(truth.parent.glob("obs*.pi")))
    chosen = XrayConfig(method=method, stack_by=str(_sources(truth, folder / "sources.csv")))
    outcome = _run(RunConfig("xray", first, xray=chosen, more=tuple(more)), run, arguments)
    if outcome.state != "done":
        return report(outcome, run)
    _say(str(write_spectra(run, folder / "spectra")))
    Console().print(compare(run, truth, folder / "demo.png"))
    power = folder / "run-powerlaw"
    config = _power_laws(truth, method)
    if config is not None and (outcome := _run(config, power, arguments)).state != "done":
        return report(outcome, power)
    Console().print(*(hold(power, truth) if config is not None else ()))
    _say(
        f"{folder / 'demo.png'}: four spectra beside their truth; all of it took "
        f"{duration(time.monotonic() - begun)}"
    )
    return report(outcome, run)


def _power_laws(truth: Path, method: str) -> RunConfig | None:
    """Give the run of the observations that are power laws; None where there are none."""
    columns = pq.read_table(truth, columns=["obs", "model"]).to_pydict()
    names = [
        str((truth.parent / obs).resolve())
        for obs, model in zip(*columns.values(), strict=True)
        if model == "powerlaw"
    ]
    if not names:
        return None
    chosen = XrayConfig(method=method, model="powerlaw")
    return RunConfig("xray", names[0], xray=chosen, more=tuple(names[1:]))


def _sources(truth: Path, path: Path) -> Path:
    """Write the table that gives each observation its redshift, as a user would."""
    columns = pq.read_table(truth, columns=["obs", "redshift"]).to_pydict()
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("obs", "group", "redshift"))
        for obs, redshift in zip(*columns.values(), strict=True):
            rows.writerow((obs, obs, "" if math.isnan(redshift) else f"{redshift:.6f}"))
    return path.resolve()


def _make(folder: Path) -> Path:
    """Make the folder of a demo."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be made ({error.strerror}); name another folder with -o"
        ) from error
    return folder


def _run(config: RunConfig, run: Path, arguments: argparse.Namespace) -> Outcome:
    """Begin the demo's run in place of an older one."""
    manners = Manners(view=run_view(arguments, run), log_copy=arguments.log_file, tell=_say)
    return start_run(config, run, overwrite=True, manners=manners)


def _say(text: str) -> None:
    """Print a line where progress goes."""
    print(text, file=sys.stderr)
