"""Measure how fast spectra are fitted, and what a whole cube takes.

``python -m streamfit.tools.bench fit`` times all engines on the same spectra from the same starts:
`scipy.optimize.least_squares` with an analytic Jacobian on one core, batches in numpy, the direct
kernel, and the reduced basis, alone and with its exact polish (`bench_fit.py`).
``python -m streamfit.tools.bench stream`` times ``stream-fit optical`` from a cold file to the last
row on disk at several sizes, beside `cat` (`bench_stream.py`). ``--json`` gives a line for each
engine or run, with the machine in it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from ..io.errors import StreamFitError
from . import bench_fit, bench_stream
from .bench_machine import Machine
from .bench_plot import draw_cost


def _counts(text: str) -> tuple[int, ...]:
    """Read ``1,2``."""
    counts = tuple(int(part) for part in text.split(","))
    if min(counts) < 1:
        raise ValueError(text)
    return counts


def _sizes(text: str) -> tuple[int, ...]:
    """Read ``2^14,65536``."""
    sizes = []
    for part in text.split(","):
        base, _, power = part.partition("^")
        sizes.append(int(base) ** int(power or 1))
    if min(sizes) < 1:
        raise ValueError(text)
    return tuple(sizes)


_counts.__name__ = "numbers such as 1,2"  # how argparse names what it wanted
_sizes.__name__ = "sizes such as 2^14,65536"


def _add_fit(commands: argparse._SubParsersAction) -> None:
    timing = commands.add_parser("fit", help="all engines on one problem")
    timing.add_argument("-n", type=int, default=700, metavar="N", help="spectra (default 700)")
    timing.add_argument("--threads", type=_counts, default=(1, 2), metavar="1,2")
    timing.add_argument("--rounds", type=int, default=7, help="turns of all engines (default 7)")
    timing.add_argument("--seed", type=int, default=0)
    timing.add_argument("--tolerance", type=float, default=1e-10, help="of scipy (default 1e-10)")
    timing.add_argument(
        "--seconds", type=float, default=0.3, help="an engine works in a round (default 0.3)"
    )
    timing.add_argument("--json", action="store_true", help="write a JSON line for each engine")
    timing.set_defaults(run=_fit)


def _add_stream(commands: argparse._SubParsersAction) -> None:
    timing = commands.add_parser("stream", help="whole cubes, from a cold file")
    timing.add_argument(
        "--folder",
        type=Path,
        required=True,
        help="for cubes and runs; cubes stay and are used again",
    )
    timing.add_argument(
        "--sizes",
        type=_sizes,
        default=bench_stream.SIZES,
        metavar="2^14,...",
        help="spectra (default 2^14,2^16,2^18,2^20 and a full SITELLE cube, 4227072)",
    )
    timing.add_argument("--rounds", type=int, default=1, help="times round all sizes (default 1)")
    timing.add_argument("--figure", type=Path, metavar="PNG", help="cost against spectra")
    timing.add_argument("--json", action="store_true", help="write a JSON line for each run")
    timing.add_argument(
        "options", nargs="*", metavar="FLAG", help="of stream-fit optical, after --: -- --threads 1"
    )
    timing.set_defaults(run=_stream)


def _fit(asked: argparse.Namespace, machine: Machine, console: Console) -> None:
    timing = bench_fit.Timing(asked.rounds, asked.seconds, asked.tolerance)
    speeds = bench_fit.fit(asked.n, asked.threads, timing, seed=asked.seed)
    if asked.json:
        for speed in speeds:
            print(json.dumps({**asdict(speed), "machine": asdict(machine)}))
    else:
        console.print(bench_fit.table(speeds))
        console.print(bench_fit.tables_line(speeds))


def _stream(asked: argparse.Namespace, machine: Machine, console: Console) -> None:
    passes = []
    for found in bench_stream.stream(
        asked.folder,
        asked.sizes,
        rounds=asked.rounds,
        options=asked.options,
        tell=lambda line: print(line, file=sys.stderr),
    ):
        passes.append(found)
        if asked.json:
            print(json.dumps({**asdict(found), "machine": asdict(machine)}), flush=True)
    if not asked.json:
        console.print(bench_stream.table(passes))
    if asked.figure:
        draw_cost(passes, asked.figure)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program: ``python -m streamfit.tools.bench fit`` or ``stream``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    _add_fit(commands)
    _add_stream(commands)
    asked = parser.parse_args(argv)
    if asked.rounds < 1:
        parser.error(f"--rounds {asked.rounds}: give 1 or more")
    if asked.command == "fit" and asked.rounds > asked.n:
        parser.error(f"{asked.n} spectra in {asked.rounds} rounds: give each round one or more")
    machine = Machine.here()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    if not asked.json:
        console.print(", ".join(f"{name} {value}" for name, value in asdict(machine).items()))
    try:
        asked.run(asked, machine, console)
    except StreamFitError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
