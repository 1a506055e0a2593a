"""Simulate X-ray observations of known sources: PHA, ARF, RMF, background, and the truth.

``stream-fit simulate xray -o DIR`` writes ``obs0000.pi`` and on, their backgrounds ``bkg0000.pi``,
the responses ``acis00.arf`` and ``acis00.rmf`` that the headers name, and ``truth.parquet``: for
each observation its model with its parameters, the counts expected, and the true photon flux
density on the working grid. Counts are folded through the native response, exactly, and drawn from
the Poisson law. The same seed gives the same observations.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..io.errors import InputError, StorageError
from ..io.observations import Response
from ..io.xray_columns import ENERGY_EDGES as EDGES_KEY
from ..kernels.plasma import PlasmaTable, flux_density, rebin
from ..kernels.response import ENERGY_EDGES, fold_photons
from ..models.plasma_table import load_plasma
from .acis_like import Character, background_shape, response
from .write_ogip import write_arf, write_pha, write_rmf
from .xray_models import MEANING, MODELS, Model, draw
from .xray_plan import XrayPlan

Array = NDArray[np.float64]

_BAND = 0.5, 7.0  # keV, where counts are counted
_BESIDE = 8.0  # area of the background's region over that of the source
_ROWS = 64  # observations of one row group of the truth
_HELD = 8  # responses


def simulate(plan: XrayPlan, *, report: Callable[[int], None] = lambda count: None) -> Path:
    """Write observations and their truth.

    Parameters
    ----------
    plan : XrayPlan
    report : callable
        Given how many observations were written since it was last called.

    Returns
    -------
    Path
        The table of the truth.

    Raises
    ------
    StorageError
        If the folder cannot be made.
    """
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{plan.folder}: cannot be made ({error.strerror}); name another folder with -o"
        ) from error
    table, schema = load_plasma(), _truth_schema()
    telescopes = _Telescopes(plan)
    with pq.ParquetWriter(plan.truth_path, schema) as truth:
        for start in range(0, plan.number, _ROWS):
            numbers = range(start, min(start + _ROWS, plan.number))
            rows = []
            for number in numbers:
                rows.append(_observe(plan, number, table, telescopes))
                report(1)
            truth.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
    return plan.truth_path


class _Telescopes:
    """Responses by their number; each is written once, a few are held."""

    def __init__(self, plan: XrayPlan) -> None:
        self.plan, self._written = plan, -1
        self._made = lru_cache(maxsize=_HELD)(self._make)

    def of(self, number: int) -> tuple[str, Response]:
        """Give name and response of the telescope of an observation."""
        which = number % self.plan.responses if self.plan.responses else number
        name = f"acis{which:0{2 if self.plan.responses else 4}d}"
        made = self._made(which, name)
        if which > self._written:
            write_arf(self.plan.folder / f"{name}.arf", made)
            write_rmf(self.plan.folder / f"{name}.rmf", made)
            self._written = which
        return name, made

    @property
    def typical(self) -> Response:
        """Give the telescope by which the counts of a source are told."""
        return self._made(0, "typical")

    def _make(self, which: int, name: str) -> Response:
        """Make one; the first is the typical one."""
        generator = np.random.default_rng([self.plan.seed, 1, which])
        return response(name, Character() if which == 0 else Character.drawn(generator))


def _observe(
    plan: XrayPlan, number: int, table: PlasmaTable, telescopes: _Telescopes
) -> dict[str, Any]:
    """Write one observation; give its row of the truth."""
    generator = np.random.default_rng([plan.seed, 0, number])
    name, telescope = telescopes.of(number)
    source = number % plan.sources if plan.sources else number
    of_source = np.random.default_rng([plan.seed, 2, source]) if plan.sources else generator
    model = draw(plan.models[source % len(plan.models)], table, of_source)
    total = float(np.exp(of_source.uniform(*np.log(plan.counts))))
    folded, band = _folded(telescope, model, table, plan.exposure)
    measure = telescopes.typical if plan.sources else telescope
    expected = _folded(measure, model, table, plan.exposure)[0]
    scale = (1.0 - plan.background) * total / expected[band].sum()
    centre = 0.5 * (telescope.channel_low + telescope.channel_high)
    background = plan.background * total * background_shape(centre)
    counts = generator.poisson(scale * folded + background)
    beside = generator.poisson(_BESIDE * background)
    target = f"source {source}" if plan.sources else model.name
    _write(plan, number, name, target, counts, beside)
    flux = scale * flux_density(table.edges, model.photons, ENERGY_EDGES)
    return {
        "obs": f"obs{number:04d}.pi",
        "model": model.name,
        "response": name,
        "exposure": plan.exposure,
        "counts_expected": float(scale * folded[band].sum() + background[band].sum()),
        "background_expected": float(background[band].sum()),
        "log_photon_flux": np.log(np.maximum(flux, np.finfo(np.float64).tiny)),
        **{
            key: model.parameters.get(key, np.nan) * (scale if key.startswith("norm") else 1.0)
            for key in MEANING
        },
    }


def _folded(
    telescope: Response, model: Model, table: PlasmaTable, exposure: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Give the counts expected on the channels, and which of these count."""
    centre = 0.5 * (telescope.channel_low + telescope.channel_high)
    edges = np.append(telescope.energy_low, telescope.energy_high[-1])
    photons = rebin(table.edges, model.photons, edges)
    folded = fold_photons(telescope, photons, exposure=exposure)
    return folded, (centre >= _BAND[0]) & (centre < _BAND[1])


def _write(
    plan: XrayPlan,
    number: int,
    name: str,
    target: str,
    counts: NDArray[np.int64],
    beside: NDArray[np.int64],
) -> None:
    """Write the spectrum and, where there is one, its background."""
    links = {"RESPFILE": f"{name}.rmf", "ANCRFILE": f"{name}.arf"}
    about = {"EXPOSURE": plan.exposure, "OBS_ID": f"{number:05d}", "OBJECT": target}
    background = f"bkg{number:04d}.pi" if plan.background else "none"
    write_pha(
        plan.folder / f"obs{number:04d}.pi",
        counts,
        image=plan.image,
        BACKSCAL=1e-6,
        BACKFILE=background,
        **links,
        **about,
    )
    if plan.background:
        words: dict[str, Any] = {**links, **about, "BACKFILE": "none", "HDUCLAS2": "BKG"}
        write_pha(plan.folder / background, beside, BACKSCAL=_BESIDE * 1e-6, **words)


def _truth_schema() -> pa.Schema:
    """Columns of the truth table, with unit and description in the metadata of each field."""
    spectrum = pa.list_(pa.float64(), ENERGY_EDGES.size - 1)
    columns = {
        "obs": (pa.string(), "", "file of the spectrum"),
        "model": (pa.string(), "", "of the source"),
        "response": (pa.string(), "", "files .arf and .rmf of this name"),
        "exposure": (pa.float64(), "s", "exposure"),
        "counts_expected": (pa.float64(), "count", "0.5 to 7 keV, background included"),
        "background_expected": (pa.float64(), "count", "of the background among them"),
        "log_photon_flux": (
            spectrum,
            "ln(photon / (cm**2 s keV))",
            "logarithm of the photon flux density, averaged over each bin",
        ),
        **{name: (pa.float64(), *meaning) for name, meaning in MEANING.items()},
    }
    fields = [
        pa.field(name, kind, metadata={"unit": unit, "description": text})
        for name, (kind, unit, text) in columns.items()
    ]
    return pa.schema(fields, metadata={EDGES_KEY: repr(ENERGY_EDGES.tolist())})


def simulate_demo(folder: Path) -> Path:
    """Write the few observations of ``stream-fit demo xray``; give their truth."""
    return simulate(XrayPlan(folder, number=60, counts=(300, 1e5), responses=3, seed=11))


def _pair(text: str) -> tuple[float, float]:
    """Read LO,HI."""
    low, high = text.split(",")
    return float(low), float(high)


_pair.__name__ = "pair of numbers such as 300,1e5"  # how argparse names what it wanted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``simulate xray``."""
    parser.add_argument(
        "-o", "--output", dest="folder", type=Path, required=True, metavar="DIR", help="made"
    )
    parser.add_argument("--number", type=int, default=20, metavar="N", help="observations")
    parser.add_argument(
        "--counts", type=_pair, default=(300.0, 1e5), metavar="LO,HI", help="0.5 to 7 keV, expected"
    )
    parser.add_argument(
        "--background", type=float, default=0.1, metavar="PART", help="of the counts; 0 for none"
    )
    parser.add_argument(
        "--models",
        type=lambda text: tuple(text.split(",")),
        default=tuple(MODELS),
        metavar="A,B,...",
        help=f"taken in turn: {', '.join(MODELS)} (default all)",
    )
    parser.add_argument(
        "--responses", type=int, default=4, metavar="N", help="telescopes; 0 for one each"
    )
    parser.add_argument(
        "--sources", type=int, default=0, metavar="N", help="observed in turn; 0 for one each"
    )
    parser.add_argument("--exposure", type=float, default=50_000.0, metavar="S")
    parser.add_argument(
        "--image", type=int, default=0, metavar="SIDE", help="of the first HDU; 1024 takes 2 MB"
    )
    parser.add_argument("--seed", type=int, default=0)


def run(arguments: argparse.Namespace) -> int:
    """Simulate what the parsed options ask for; give the exit code."""
    names = XrayPlan.__dataclass_fields__.keys() & vars(arguments).keys()
    plan = XrayPlan(**{name: getattr(arguments, name) for name in names})
    done, every = 0, max(plan.number // 10, 1)

    def report(count: int) -> None:
        nonlocal done
        done += count
        if done % every == 0 or done == plan.number:
            print(f"simulated {done:,} of {plan.number:,} observations", file=sys.stderr)

    truth = simulate(plan, report=report)
    print(f"{plan.folder / 'obs*.pi'}\n{truth}", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program: ``python -m streamfit.tools.simulate_xray -o DIR``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
