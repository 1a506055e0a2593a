"""The command `explore`: the whole posterior of some spaxels by a sampler, beside the run's own.

The spaxel is read and fitted as the run did. Then nothing is integrated analytically any more:
velocity, broadening, all amplitudes and the continuum are sampled, once for each prior asked for.
The draws go into one Parquet file, a picture of their marginal distributions beside it.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..io.disk import publish
from ..io.errors import InputError
from ..io.mask import read_mask
from ..io.records import Area
from ..io.results import Column, arrow_schema, flux_unit
from ..io.source import CubeReader, CubeSource, open_cube
from ..kernels import varpro
from ..kernels.full_posterior import FullPosterior, Spectrum
from .columns import RunTable
from .config import OpticalConfig
from .corner import draw_corner
from .directory import RunDirectory, check_same_input
from .extras import require
from .inspect import check_place
from .labels import quantity_label, scale_exponent, superscript, with_error
from .layers import read_run_toml
from .optical import OpticalRecipe
from .posterior_rows import Informed, PosteriorRows
from .reduced_fitter import ReducedFitter
from .sampling import Draws, ensemble, nested
from .sheet import INK, blank_page, save

Array = NDArray[np.float64]

MOST = 64
"""Spaxels of a region, at most: a sampler takes seconds to minutes for each."""

_SIDE = 1.5  # of a panel of the corner plot [inch]
_STARTS = 400  # velocities and broadenings that an ensemble starts from


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be sampled and how.

    Parameters
    ----------
    run, output : Path
        The run directory, and where draws and pictures go.
    region : Area
        Spaxels, or bins where the run has them.
    sampler : {"dynesty", "emcee"}
    priors : tuple of str
        Of velocity and broadening: "mdn", "flat" or "neighbours"; empty for the run's own.
    seed : int
    """

    run: Path
    output: Path
    region: Area
    sampler: str = "dynesty"
    priors: tuple[str, ...] = ()
    seed: int = 0


class WatchedRows(PosteriorRows):
    """Posteriors that keep what they were asked to integrate; for one spaxel."""

    spectrum: Spectrum | None = None
    fit: varpro.Fit | None = None
    informed: Informed | None = None

    def integrate(
        self,
        data: NDArray[np.floating],
        weight: Array,
        fit: varpro.Fit,
        noise: Array,
        geometry: varpro.Geometry,
        tables: Any,
        prior: Informed | None = None,
    ) -> Array:
        """Keep the spectrum, its fit and its prior, and integrate."""
        one = np.asarray(data[0], dtype=np.float64), np.array(weight[0], dtype=np.float64)
        self.spectrum = Spectrum(*one, float(noise[0]), geometry)
        self.fit, self.informed = fit, prior
        return super().integrate(data, weight, fit, noise, geometry, tables, prior)


def explore(asked: Asked, say: Callable[[str], None]) -> None:
    """Sample the posterior of every spaxel of a region.

    Parameters
    ----------
    asked : Asked
    say : callable
        Takes the text about each spaxel as it is done.

    Raises
    ------
    InputError
        If the spaxels are not of the run or too many, the cube has changed, or a library is not
        there.
    StorageError
        If the disk refuses.
    """
    require(asked.sampler, "explore")
    if len(asked.region) > MOST:
        raise InputError(
            f"explore: {asked.region} holds {len(asked.region)} spaxels, {MOST} is the most; give "
            "a smaller --region"
        )
    table = RunTable(asked.run)
    whole = read_run_toml(RunDirectory(asked.run).config)
    config = whole.optical
    if config.components != 1 or len(config.groups) > 1:
        raise InputError(
            f"{asked.run}: explore samples one velocity and broadening, and this run has several; "
            "use one without --components and groups of --tie"
        )
    x, y = asked.region.positions()
    for place in zip(x.tolist(), y.tolist(), strict=True):
        check_place(table, *place)
    asked.output.mkdir(parents=True, exist_ok=True)
    own = (config.prior or ("flat" if config.no_mdn else "mdn"),)
    chains: list[pa.Table] = []
    with closing(open_cube(whole.input)) as reader:
        for place in zip(x.tolist(), y.tolist(), strict=True):
            found = []
            for prior in asked.priors or own:
                chosen = dataclasses.replace(config, bayes=True, prior=prior)
                found.append(_sample(asked, reader, table, chosen, place))
            chains += [chain.table for chain in found]
            title = f"spaxel {place[0]}, {place[1]} of {table.manifest.header['name']}"
            _draw(asked.output / f"corner-{place[0]}-{place[1]}.png", found, title)
            say("\n".join(_lines(place, found)))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(chains), sink)
    publish(asked.output / "chain.parquet", sink.getvalue())


@dataclass(frozen=True, slots=True)
class _Chain:
    """Draws of one spaxel under one prior, and what they stand beside."""

    prior: str
    draws: dict[str, Array]
    table: pa.Table
    row: dict[str, Any]
    sampled: Draws


def _sample(
    asked: Asked, reader: CubeReader, table: RunTable, config: OpticalConfig, place: tuple[int, int]
) -> _Chain:
    """Read one spaxel, fit it, sample its posterior."""
    side = config.bin
    nx, ny = reader.header.shape
    x, y = place
    area = Area(x * side, min(nx, (x + 1) * side), y * side, min(ny, (y + 1) * side))
    mask = read_mask(config.mask, reader.header) if config.mask else None
    around = config.prior == "neighbours"
    source = CubeSource(reader, region=area, mask=mask, bin=side, around=around)
    check_same_input(source.fingerprint(), table.manifest)
    recipe = OpticalRecipe(source.header, config)
    engine = recipe.fitter.engine if isinstance(recipe.fitter, ReducedFitter) else None
    watched = WatchedRows(recipe.model, source.header.unit, engine, config)
    recipe.posterior = watched
    row = recipe.fit(source.read(source.keys()[0])).to_pylist()[0]
    if watched.spectrum is None or watched.fit is None or not (watched.spectrum.weight > 0).any():
        raise InputError(f"{table.path}: x={x}, y={y} has no data; choose another spaxel")
    known = watched.informed is not None and bool(watched.informed.known[0])
    full = FullPosterior.of(
        watched.spectrum,
        recipe.model.emission,
        recipe.model.continuum,
        recipe.model.bounds,
        prior=watched.informed.mixture if known and watched.informed is not None else None,
        positive=config.positive,
    )
    if asked.sampler == "dynesty":
        sampled = nested(full, asked.seed)
    else:
        sampled = ensemble(full, _about(watched.fit, full, asked.seed), asked.seed)
    draws, columns = _columns(recipe, full, watched.spectrum, sampled, source.header.unit)
    count = len(sampled.points)
    keys = [
        Column("x", pa.int32(), "pixel", "0-based column"),
        Column("y", pa.int32(), "pixel", "0-based row"),
        Column("prior", pa.string(), "", "of velocity and broadening"),
    ]
    schema = arrow_schema([*keys, *columns], {"sampler": asked.sampler, "seed": str(asked.seed)})
    arrays = [
        pa.array(np.full(count, x, np.int32)),
        pa.array(np.full(count, y, np.int32)),
        pa.array([str(config.prior)] * count),
        *(pa.array(values) for values in draws.values()),
    ]
    shown = {name: values for name, values in draws.items() if not name.endswith("_amplitude")}
    del shown["log_likelihood"]
    return _Chain(
        str(config.prior), shown, pa.Table.from_arrays(arrays, schema=schema), row, sampled
    )


def _draw(path: Path, found: Sequence[_Chain], title: str) -> None:
    """Draw the posteriors of one spaxel over each other, each quantity over a power of ten."""
    names = list(found[0].draws)
    tables = {
        f"prior {chain.prior}": np.stack([chain.draws[name] for name in names], axis=1)
        for chain in found
    }
    exponents = [scale_exponent(values) for values in np.concatenate([*tables.values()]).T]
    labels = [
        quantity_label(name) + (f" / 10{superscript(exponent)}" if exponent else "")
        for name, exponent in zip(names, exponents, strict=True)
    ]
    figure = blank_page(_SIDE * len(names), _SIDE * len(names))
    powers = 10.0 ** np.array(exponents)
    draw_corner(figure, {name: draws / powers for name, draws in tables.items()}, labels)
    figure.suptitle(title, color=INK, fontsize=12)
    save(figure, path)


def _about(fit: varpro.Fit, full: FullPosterior, seed: int) -> Array:
    """Draw velocities and broadenings about the fit, or over the prior where there is none."""
    generator = np.random.default_rng([seed, 2])
    place = np.array([fit.velocity[0, 0], fit.broadening[0, 0]])
    spread = np.sqrt(np.diag(fit.covariance[0])[:2])
    if not np.isfinite(place + spread).all():
        return np.array(
            [full.transform(cube)[:2] for cube in generator.random((_STARTS, full.dimensions))]
        )
    return place + spread * generator.standard_normal((_STARTS, 2))


def _columns(
    recipe: OpticalRecipe, full: FullPosterior, spectrum: Spectrum, sampled: Draws, unit: str
) -> tuple[dict[str, Array], list[Column]]:
    """Name the parameters of all draws, fluxes added, and declare their columns."""
    emission, points = recipe.model.emission, sampled.points
    v, b = points[:, :1], points[:, 1:2]
    width = np.repeat(spectrum.geometry.width, len(points), axis=0)
    amplitude = points[:, 2 : 2 + emission.columns][:, emission.column]
    amplitude = amplitude * emission.shares(v, b, width)
    flux = amplitude * emission.peak_fluxes(v, b, width)
    draws = {"velocity": points[:, 0], "broadening": points[:, 1]}
    columns = [
        Column("velocity", pa.float64(), "km/s", "velocity, relative to the redshift of the run"),
        Column("broadening", pa.float64(), "km/s", "broadening beyond the instrument"),
    ]
    for k, name in enumerate(emission.names):
        draws |= {f"{name}_amplitude": amplitude[:, k], f"{name}_flux": flux[:, k]}
        columns += [
            Column(f"{name}_amplitude", pa.float64(), unit, f"peak of {name}"),
            Column(f"{name}_flux", pa.float64(), flux_unit(unit), f"flux of {name}"),
        ]
    for term in range(full.continuum.terms):
        name = f"continuum_{term}"
        draws[name] = points[:, 2 + emission.columns + term]
        columns.append(Column(name, pa.float64(), unit, f"Legendre term {term} of the continuum"))
    draws["log_likelihood"] = sampled.log_likelihood
    columns.append(Column("log_likelihood", pa.float64(), "", "minus half chi squared"))
    return draws, columns


def _lines(place: tuple[int, int], found: Sequence[_Chain]) -> Iterator[str]:
    """Write a small table: each parameter sampled, integrated, fitted."""
    for chain in found:
        row, sampled = chain.row, chain.sampled
        yield (
            f"spaxel {place[0]}, {place[1]}, prior {chain.prior}: {len(sampled.points)} draws "
            f"worth {sampled.effective:.0f}, {sampled.evaluations} evaluations"
        )
        yield f"  {'':<16}  {'sampled':<24}  {'--bayes':<24}  fit"
        for name, values in chain.draws.items():
            if name.startswith("continuum"):
                continue
            cells = (
                with_error(float(values.mean()), float(values.std())),
                with_error(row[f"post_{name}"], row[f"post_{name}_sigma"]),
                with_error(row[name], row[f"{name}_err"]),
            )
            yield f"  {name:<16}  {cells[0]:<24}  {cells[1]:<24}  {cells[2]}"
        if np.isfinite(sampled.log_evidence):
            own = with_error(sampled.log_evidence, sampled.log_evidence_error)
            yield f"  {'log_evidence':<16}  {own:<24}  {with_error(row['log_evidence'], np.nan)}"
