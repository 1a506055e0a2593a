"""The command `demo`: a small simulated galaxy, fitted live, drawn, and held against its truth.

What simulates and what compares are tools, which nothing here may import: the command hands them
in. The folder ends up with ``cube.hdf5`` and its truth, the run directory ``run``, ``maps`` and the
picture ``demo.png``.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console, RenderableType

from ..io.errors import StorageError
from .commands import report, run_view
from .config import RunConfig
from .job import Manners
from .labels import duration
from .maps import make_maps
from .run import start_run

Simulate = Callable[[Path], Path]
"""Writes the demo's cube to a path; gives the path of its truth."""

Compare = Callable[[Path, Path, Path], RenderableType]
"""Holds a run against a truth, draws both to a PNG; gives what is to be printed."""

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
    folder = arguments.output or _FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be made ({error.strerror}); name another folder with -o"
        ) from error
    cube, run = folder / "cube.hdf5", folder / "run"
    _say("simulating a galaxy as SITELLE would see it in SN3")
    truth = simulate(cube)
    outcome = start_run(
        RunConfig(stage="optical", input=str(cube.resolve())),
        run,
        overwrite=True,
        manners=Manners(view=run_view(arguments, run), log_copy=arguments.log_file, tell=_say),
    )
    if outcome.state != "done":
        return report(outcome, run)
    _say(str(make_maps(run, folder / "maps")))
    Console().print(compare(run, truth, folder / "demo.png"))
    _say(
        f"{folder / 'demo.png'}: the maps beside their truth; all of it took "
        f"{duration(time.monotonic() - begun)}"
    )
    return report(outcome, run)


def _say(text: str) -> None:
    """Print a line where progress goes."""
    print(text, file=sys.stderr)
