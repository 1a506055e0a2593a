"""What a whole cube takes: ``stream-fit optical`` from a cold file to the last row on disk.

Each size is a cube of its own (`bench_cubes.py`). Kernels are compiled before anything is timed.
Then, for each size in turn, the page cache is dropped and `cat` reads the file; it is dropped again
and the run is timed as the user would see it, from the command to its end.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from ..io.errors import InputError
from ..io.source import open_cube
from ..stream.layers import build_config
from ..stream.optical import OpticalRecipe
from ..stream.options import OPTIONS
from ..stream.parser import build_parser, join_negative
from ..stream.reduced_fitter import ReducedFitter
from ..stream.stage import open_stage
from .bench_cold import make_cold, measure
from .bench_cubes import ready_cube

SIZES = (2**14, 2**16, 2**18, 2**20, 2048 * 2064)

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pass:
    """One cube, fitted once.

    Parameters
    ----------
    spectra : int
    shape : (nx, ny)
    cube_bytes : int
    engine : str
        "direct", or "reduced" where tables pay.
    options : str
        Flags of the run beside its own.
    threads : int
        That fitted.
    cold : str
        How the page cache was dropped: "drop_caches" or "fadvise".
    wall_s : float
        From the command to its end.
    start_s : float
        Of those, what passed before the first batch was read or after the last row was written.
    user_s, system_s : float
        Of processors.
    spectra_per_second : float
        Over all of the wall time.
    peak_bytes : int
        Resident memory.
    read_bytes : int
        That the run read from the disk, programs and libraries included.
    table_bytes : int
        Of the table it wrote.
    cat_s : float
        That ``cat CUBE > /dev/null`` took, cold.
    cat_bytes_per_second : float
    times_cat : float
        Wall time over that of `cat`.
    """

    spectra: int
    shape: tuple[int, int]
    cube_bytes: int
    engine: str
    options: str
    threads: int
    cold: str
    wall_s: float
    start_s: float
    user_s: float
    system_s: float
    spectra_per_second: float
    peak_bytes: int
    read_bytes: int
    table_bytes: int
    cat_s: float
    cat_bytes_per_second: float
    times_cat: float

    @property
    def core_s(self) -> float:
        """Seconds that cores worked."""
        return self.user_s + self.system_s


def stream(
    folder: Path,
    sizes: Sequence[int],
    *,
    rounds: int = 1,
    options: Sequence[str] = (),
    tell: Tell = lambda line: None,
) -> Iterator[Pass]:
    """Fit cubes of several sizes, each from a cold file.

    Parameters
    ----------
    folder : Path
        Where cubes stand or are made, and where runs are written and taken away again.
    sizes : sequence of int
        Spectra.
    rounds : int
        Times that all sizes take their turn.
    options : sequence of str
        Flags of ``stream-fit optical``.
    tell : callable
        Is given a line before whatever takes long.

    Yields
    ------
    Pass

    Raises
    ------
    InputError
        If a cube cannot be made, or its run fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cubes = [ready_cube(folder, size, tell) for size in sizes]
    tell("compiling")
    engines = [_compiled(cube, options) for cube in cubes]
    for number in range(rounds):
        for cube, engine in zip(cubes, engines, strict=True):
            tell(f"{cube.name}: round {number + 1} of {rounds}")
            yield _pass(cube, engine, options)


def _compiled(cube: Path, options: Sequence[str]) -> str:
    """Compile what the run of a cube will use; give its engine."""
    given = vars(build_parser({}).parse_args(join_negative(["optical", str(cube), *options])))
    config = build_config(
        "optical",
        str(cube),
        files=given["config"],
        sets=given["sets"],
        flags={option.name: given[option.name] for option in OPTIONS if option.name in given},
        tie=given["tie"],
    )
    with closing(open_stage(config)) as stage:
        stage.recipe.prepare()
        assert isinstance(stage.recipe, OpticalRecipe)
        return "reduced" if isinstance(stage.recipe.fitter, ReducedFitter) else "direct"


def _pass(cube: Path, engine: str, options: Sequence[str]) -> Pass:
    """Read a cube, then fit it, each time from the disk."""
    cold = make_cold(cube)
    alone = measure(["cat", str(cube)], Path("/dev/null"))
    with tempfile.TemporaryDirectory(dir=cube.parent, prefix="run-") as name:
        run, log = Path(name) / "run", Path(name) / "log.txt"
        command = [sys.executable, "-m", "streamfit.stream", "optical", str(cube), "-o", str(run)]
        command += ["--no-tui", *options]
        make_cold(cube)
        taken = measure(command, log)
        if taken.exit_code:
            said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise InputError(f"{cube}: the run ended with {taken.exit_code}, saying: {said[-1]}")
        status = json.loads((run / "progress.json").read_text())
        table = sum(part.stat().st_size for part in (run / "fit").iterdir())
    size, spectra = cube.stat().st_size, int(status["spaxels_done"])
    with closing(open_cube(cube)) as reader:
        shape = reader.header.shape
    return Pass(
        spectra=spectra,
        shape=shape,
        cube_bytes=size,
        engine=engine,
        options=" ".join(options),
        threads=int(status["threads"]),
        cold=cold,
        wall_s=round(taken.wall_s, 3),
        start_s=round(taken.wall_s - status["elapsed_s"], 3),
        user_s=round(taken.user_s, 3),
        system_s=round(taken.system_s, 3),
        spectra_per_second=round(spectra / taken.wall_s, 1),
        peak_bytes=taken.peak_bytes,
        read_bytes=taken.read_bytes,
        table_bytes=table,
        cat_s=round(alone.wall_s, 3),
        cat_bytes_per_second=round(size / alone.wall_s),
        times_cat=round(taken.wall_s / alone.wall_s, 2),
    )


def table(passes: Sequence[Pass]) -> Table:
    """Lay out runs for a terminal."""
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headings = ("spectra", "engine", "threads", "wall", "start", "spectra/s", "cores busy")
    for heading in (*headings, "us of work", "peak", "cat", "x cat", "cold by"):
        found.add_column(heading, justify="right", no_wrap=True)
    for one in passes:
        found.add_row(
            f"{one.spectra:,}",
            one.engine,
            f"{one.threads}",
            f"{one.wall_s:.1f} s",
            f"{one.start_s:.1f} s",
            f"{one.spectra_per_second:,.0f}",
            f"{one.core_s / one.wall_s:.2f}",
            f"{1e6 * one.core_s / one.spectra:.1f}",
            f"{one.peak_bytes / 1e6:.0f} MB",
            f"{one.cat_s:.2f} s ({one.cat_bytes_per_second / 1e9:.2f} GB/s)",
            f"{one.times_cat:.1f}",
            one.cold,
        )
    return found
