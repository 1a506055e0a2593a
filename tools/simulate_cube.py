"""Simulate a spectral cube in a documented format, with a table of the truth beside it.

``stream-fit simulate cube -o PATH`` writes PATH and PATH with the suffix ``.truth.parquet``. The
sky comes from `scenes`, the spectra from `spectrographs` and `observing`; `write_sitelle` and
`write_ifu` know the files. Spectra are made and written slab by slab, so memory stays flat whatever
the cube's size, and the same seed gives the same spectra for any slab.

For benchmarks ``--tile N`` simulates only N spectra, spread over the angles of the field, and gives
each spaxel the one whose angle is next to its own: a cube of full size is then written as fast as
the disk takes it, with spectra, line widths and truth that agree to the last digit.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..io.errors import InputError
from ..io.records import Area
from ..io.results import flux_unit
from .cube_plan import LAYOUTS, CubePlan
from .filters import FILTERS
from .library import Library
from .observatories import Setup, set_up
from .observing import Conditions, observe
from .scenes import SCENES
from .spectrographs import Grating
from .write_sitelle import STORAGE


def simulate(plan: CubePlan, *, report: Callable[[int], None] = lambda count: None) -> Path:
    """Write a cube and its truth.

    Parameters
    ----------
    plan : CubePlan
        What to simulate.
    report : callable
        Called with the number of spaxels after each slab.

    Returns
    -------
    Path
        The table of the truth.

    Raises
    ------
    InputError
        If no line falls into the band.
    """
    setup = set_up(plan)
    if not setup.instrument.lines:
        raise InputError(
            f"simulate cube: no strong line of redshift {plan.redshift:g} falls into the band; "
            "name some with --lines or give another --redshift"
        )
    conditions = Conditions(
        shape=plan.shape,
        scene=plan.scene,
        snr=plan.snr,
        continuum=plan.continuum,
        noise=setup.noise,
        bad=plan.bad,
        seed=plan.seed,
        with_imaginary=setup.with_imaginary,
        one_angle=setup.one_angle,
        loudness=setup.loudness,
    )
    spectra = partial(observe, setup.instrument, conditions)
    if plan.tile:
        spectra = Library(setup.instrument, conditions, plan.tile)
    with ExitStack() as stack:
        writer = stack.enter_context(setup.open_writer())
        schema = _truth_schema(setup)
        truth = stack.enter_context(pq.ParquetWriter(plan.truth_path, schema))
        for area in _areas(plan, setup.instrument.channels, writer.tile):
            slab = spectra(*area.positions())
            writer.write(area, slab)
            columns = [slab.truth[name] for name in schema.names]
            truth.write_batch(pa.record_batch(columns, schema=schema))
            report(len(area))
    return plan.truth_path


def _areas(plan: CubePlan, channels: int, tile: tuple[int, int]) -> Iterator[Area]:
    """Cut the field into slabs of whole tiles, x slow."""
    nx, ny = plan.shape
    spaxels = max(plan.slab_bytes // (4 * channels), 1)
    rows = max(min(spaxels // (tile[0] * ny), nx), 1) * tile[0]
    columns = ny if rows * ny <= spaxels else max(spaxels // (rows * tile[1]), 1) * tile[1]
    for x in range(0, nx, rows):
        for y in range(0, ny, columns):
            yield Area(x, min(x + rows, nx), y, min(y + columns, ny))


_MEANING = {
    "x": ("", "0-based position along FITS axis 1"),
    "y": ("", "0-based position along FITS axis 2"),
    "velocity": ("km/s", "optical velocity relative to the redshift"),
    "broadening": ("km/s", "standard deviation of the lines, without the instrument's"),
    "continuum": ("", "under Halpha, else OIII5007, Hbeta, OII3729 or the first line"),
    "continuum_slope": ("", "relative change of the continuum from mid-band to its upper edge"),
    "noise": ("", "standard deviation of the noise in a typical channel"),
    "snr": ("", "peak of the brightest line over the noise"),
    "corr": ("", "1 / cos(theta) of an FTS"),
    "bad": ("", "defect: dead, zero, gaps, empty (no line) or cosmic; none if empty"),
}


def _truth_schema(setup: Setup) -> pa.Schema:
    """Columns of the truth table, with unit and description in the metadata of each field."""
    instrument = setup.instrument
    kinds = {"x": pa.int32(), "y": pa.int32(), "bad": pa.string()}
    meanings = {
        name: (setup.unit if name in ("continuum", "noise") else unit, text)
        for name, (unit, text) in _MEANING.items()
    }
    for line in instrument.lines:
        meanings[f"{line}_amplitude"] = (setup.unit, "peak of the line as observed")
        meanings[f"{line}_flux"] = (flux_unit(setup.unit), "wavelength integral of the line")
    facts = {
        "lines": ",".join(instrument.lines),
        "axis": setup.axis,
        "resolution": str(instrument.resolution) if isinstance(instrument, Grating) else "",
    }
    fields = [
        pa.field(name, kinds.get(name, pa.float64()), metadata={"unit": unit, "description": text})
        for name, (unit, text) in meanings.items()
    ]
    return pa.schema(fields, metadata=facts)


def _pair(kind: Callable[[str], float]) -> Callable[[str], tuple]:
    def parse(text: str) -> tuple:
        low, high = text.split(",")
        return kind(low), kind(high)

    parse.__name__ = "pair of numbers such as 3,100"  # how argparse names what it wanted
    return parse


def simulate_demo(path: Path) -> Path:
    """Write the small galaxy of ``stream-fit demo``; give its truth."""
    return simulate(CubePlan(path, scene="disk", shape=(64, 64), snr=(4, 150), seed=4))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``simulate cube``."""
    parser.add_argument("-o", "--output", dest="path", type=Path, required=True, metavar="PATH")
    parser.add_argument("--layout", default="level2", choices=LAYOUTS, help="format of the file")
    parser.add_argument("--shape", type=_pair(int), default=(64, 64), metavar="NX,NY")
    parser.add_argument("--channels", type=int, default=0, help="default: usual for the layout")
    parser.add_argument("--filter", dest="filter_name", default="SN3", choices=tuple(FILTERS))
    parser.add_argument(
        "--lines", type=lambda text: tuple(text.split(",")), default=(), metavar="A,B,..."
    )
    parser.add_argument("--redshift", type=float, default=0.0, metavar="Z")
    parser.add_argument(
        "--snr", type=_pair(float), default=(3, 100), metavar="LO,HI", help="peak over noise"
    )
    parser.add_argument(
        "--continuum", type=_pair(float), default=(0, 1), metavar="LO,HI", help="over the peak"
    )
    parser.add_argument("--scene", default="disk", choices=tuple(SCENES))
    parser.add_argument("--storage", default="contiguous", choices=STORAGE, help="of HDF5")
    parser.add_argument("--dtype", default="", choices=("f4", "f8", "c8", "c16"), help="of HDF5")
    parser.add_argument(
        "--calibrated", action="store_true", default=True, help="one axis for all (the default)"
    )
    parser.add_argument(
        "--uncalibrated", dest="calibrated", action="store_false", help="each spaxel its own axis"
    )
    parser.add_argument("--bad", type=float, default=0.02, metavar="SHARE", help="of bad spaxels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--tile", type=int, default=0, metavar="N", help="repeat N spectra over the field"
    )


def run(arguments: argparse.Namespace) -> int:
    """Simulate what the parsed options ask for; give the exit code."""
    names = CubePlan.__dataclass_fields__.keys() & vars(arguments).keys()
    plan = CubePlan(**{name: getattr(arguments, name) for name in names})
    plan.path.parent.mkdir(parents=True, exist_ok=True)
    total, done = plan.shape[0] * plan.shape[1], 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        print(f"simulated {done:,} of {total:,} spaxels", file=sys.stderr)

    truth = simulate(plan, report=report)
    print(f"{plan.path}\n{truth}", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program: ``python -m streamfit.tools.simulate_cube -o PATH``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
