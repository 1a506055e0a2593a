"""The command `inspect`: one spaxel of a run, its data read and fitted again, drawn and written.

The numbers are those of the run's table where it has the spaxel, and of the fit just made where it
has not yet; a fit does not depend on its neighbours in a batch, so they are the same.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from ..io.errors import InputError
from ..io.mask import read_mask
from ..io.records import Area
from ..io.results import STATUS_TEXT, FitStatus, kinematic_suffix, line_names
from ..io.source import CubeSource, open_cube
from .columns import UNTRUSTED, RunTable
from .config import RunConfig
from .directory import RunDirectory, check_same_input
from .explained import Explained
from .labels import line_label, quantity_label, scale_exponent, unit_text, with_error
from .layers import read_run_toml
from .optical import OpticalRecipe
from .spectrum import Locator, Spectrum, draw_spectrum

FINEST = 150
"""Cells along the longer side of the map that shows where the spaxel lies."""

Row = dict[str, Any]
Numbers = list[tuple[str, str]]


def inspect_spaxel(run: Path, x: int, y: int, png: Path | None = None) -> str:
    """Read one spaxel of a run again, fit it, draw it.

    Parameters
    ----------
    run : Path
        The run directory.
    x, y : int
        As in the table: 0-based, of bins where the run has them.
    png : Path or None
        Where to draw; None for the text alone.

    Returns
    -------
    str
        The row, with errors, units and what its status bits mean.

    Raises
    ------
    InputError
        If the spaxel is not of the run, or the cube has changed or gone.
    RunError
        If the run has no rows yet, or is damaged.
    StorageError
        If the disk refuses the picture.
    """
    table = RunTable(run)
    check_place(table, x, y)
    config = read_run_toml(RunDirectory(run).config)
    explained, recipe, unit = _explain(table, config, x, y)
    stored = table.row(x, y)
    row = stored or explained.table.to_pylist()[0]
    numbers = describe(row, table, fitted=stored is not None)
    name = table.manifest.header["name"]
    if png is not None:
        version = table.manifest.choices["version"]
        draw_spectrum(
            png,
            _spectrum(explained, recipe, row, unit),
            title=f"{_where(table, x, y)} of {table.manifest.header['target'] or name}",
            subtitle=f"{name} · {_shape(recipe)} · stream-fit {version}",
            numbers=numbers,
            locator=_locator(table, row, x, y),
        )
    return f"{_where(table, x, y)} of {name}, run {run}\n" + as_text(numbers)


def describe(row: Row, table: RunTable, *, fitted: bool) -> Numbers:
    """Put a row into names and values for people.

    Parameters
    ----------
    row : dict
        Column to value.
    table : RunTable
        Knows the units.
    fitted : bool
        False where the run's table does not have the row yet.

    Returns
    -------
    list of (str, str)
        ("", "") is a gap; a name without a value is a note.
    """
    moving = [name for name in row if name.startswith(("velocity", "broadening"))]
    shown = [name for name in moving if not name.endswith("_err")]
    numbers: Numbers = [
        (quantity_label(name), _with_unit(row[name], row[f"{name}_err"], _unit(table, name)))
        for name in shown
    ]
    numbers += _fluxes(row, table)
    numbers += _levels(row, table)
    numbers += _posterior(row, table)
    numbers += [
        ("", ""),
        ("S/N", with_error(row["snr"], np.nan)),
        ("χ² / dof", _reduced(row["chi2"], row["dof"])),
        ("status", status_words(row["status"])),
        *((f"{bit.name}: {STATUS_TEXT[bit]}", "") for bit in FitStatus if row["status"] & bit),
    ]
    if not fitted:
        numbers.append(("not in the run's table yet: fitted just now", ""))
    return numbers


def _fluxes(row: Row, table: RunTable) -> Numbers:
    """Write the fluxes under their unit, each with its error and how significant it is."""
    names = {line_label(line): f"{line}_flux" for line in line_names(table.schema)}
    for k in range(2, (row.get("components") or 1) + 1):
        names |= {f"{line} {k}": f"{name}_c{k}" for line, name in list(names.items())
                  if "_c" not in name}  # fmt: skip
    exponent = scale_exponent([row[name] for name in names.values()])
    numbers: Numbers = [("", ""), ("flux", _unit(table, next(iter(names.values())), exponent))]
    for line, name in names.items():
        value, error = row[name], row[f"{name}_err"]
        text = with_error(value / 10.0**exponent, error / 10.0**exponent)
        sigmas = f"   {value / error:.1f} σ" if np.isfinite(value) and error > 0 else ""
        numbers.append((line, text + sigmas))
    return numbers


def _levels(row: Row, table: RunTable) -> Numbers:
    """Write continuum and noise under their unit."""
    exponent = scale_exponent([row["continuum"], row["noise"]])
    power = 10.0**exponent
    return [
        ("", ""),
        ("flux density", _unit(table, "continuum", exponent)),
        ("continuum", with_error(row["continuum"] / power, row["continuum_err"] / power)),
        ("noise", with_error(row["noise"] / power, np.nan)),
    ]


def _posterior(row: Row, table: RunTable) -> Numbers:
    """Write the posterior of velocity and broadening with its central 68 %, and the evidence."""
    if "log_evidence" not in row:
        return []
    numbers: Numbers = [("", ""), ("posterior", "mean ± sigma   16 % to 84 %")]
    for name in ("velocity", "broadening"):
        own = f"post_{name}"
        value = _with_unit(row[own], row[f"{own}_sigma"], _unit(table, own))
        between = f"   {row[f'{own}_q16']:.4g} to {row[f'{own}_q84']:.4g}"
        numbers.append((quantity_label(name), value + between))
    numbers.append(("ln evidence", with_error(row["log_evidence"], np.nan)))
    return numbers


def _with_unit(value: float, error: float, unit: str) -> str:
    text = with_error(value, error)
    return f"{text} {unit}" if np.isfinite(value) else text


def _reduced(chi2: float, dof: int) -> str:
    text = f"{with_error(chi2, np.nan)} / {dof}"
    return f"{text} = {chi2 / dof:.2f}" if dof > 0 and np.isfinite(chi2) else text


def status_words(status: int) -> str:
    """Write status bits as words: "good", or "no signal, at bound"."""
    names = [str(bit.name).lower().replace("_", " ") for bit in FitStatus if status & bit]
    names += [f"user bit {bit}" for bit in range(16, 24) if status >> bit & 1]
    return ", ".join(names) or "good"


def as_text(numbers: Sequence[tuple[str, str]]) -> str:
    """Write names and values in two columns."""
    wide = max((len(name) for name, value in numbers if value), default=0)
    return "\n".join(f"  {name:<{wide}}  {value}".rstrip() for name, value in numbers)


def _unit(table: RunTable, name: str, exponent: int = 0) -> str:
    return unit_text(table.told(name, "unit"), exponent)


def _where(table: RunTable, x: int, y: int) -> str:
    side = table.manifest.header["bin"]
    return f"spaxel {x}, {y}" if side == 1 else f"bin {x}, {y} ({side} x {side} spaxels)"


def _shape(recipe: OpticalRecipe) -> str:
    return recipe.model.emission.shape.name.lower()


def check_place(table: RunTable, x: int, y: int) -> None:
    """Refuse a place outside the run."""
    (x0, y0), (nx, ny) = table.grid.origin, table.grid.shape
    if not (x0 <= x < x0 + nx and y0 <= y < y0 + ny):
        raise InputError(
            f"{table.path}: x={x}, y={y} lies outside the run, which has x from {x0} to "
            f"{x0 + nx - 1} and y from {y0} to {y0 + ny - 1}; choose one inside"
        )


def _explain(
    table: RunTable, config: RunConfig, x: int, y: int
) -> tuple[Explained, OpticalRecipe, str]:
    """Read the spaxel as the run did and fit it."""
    chosen, side = config.optical, config.optical.bin
    with closing(open_cube(config.input)) as reader:
        nx, ny = reader.header.shape
        spaxels = Area(x * side, min(nx, (x + 1) * side), y * side, min(ny, (y + 1) * side))
        mask = read_mask(chosen.mask, reader.header) if chosen.mask else None
        if mask is not None and not mask[spaxels.x0 : spaxels.x1, spaxels.y0 : spaxels.y1].any():
            raise InputError(f"{table.path}: x={x}, y={y} was masked out; choose one of the rows")
        around = chosen.prior == "neighbours"
        source = CubeSource(reader, region=spaxels, mask=mask, bin=side, around=around)
        check_same_input(source.fingerprint(), table.manifest)
        recipe = OpticalRecipe(source.header, chosen, seed=config.engine.seed)
        return recipe.explain(source.read(source.keys()[0])), recipe, source.header.unit


def _spectrum(explained: Explained, recipe: OpticalRecipe, row: Row, unit: str) -> Spectrum:
    """Mark each line where its group's velocity puts it."""
    model = recipe.full
    emission, lines = model.emission, len(model.emission.names) // model.components
    columns = [f"velocity{kinematic_suffix(k, model.groups)}" for k in range(emission.groups)]
    centres = emission.centres(np.array([[row[column] for column in columns]], dtype=float))[0]
    if not np.isfinite(centres).any():
        centres = emission.centres(np.zeros((1, len(columns))))[0]
    names = [line_label(name) for name in emission.names[:lines]]
    labels = [f"{name} {k}" if k > 1 else name for k in range(1, model.components + 1)
              for name in names]  # fmt: skip
    known = bool(np.isfinite(explained.coordinate).all())
    return Spectrum(
        coordinate=explained.coordinate if known else np.arange(float(explained.data.size)),
        kind=explained.kind if known else "channel",
        data=explained.data,
        model=explained.model,
        continuum=explained.continuum,
        noise=explained.noise,
        unit=unit,
        marks=tuple(
            (label, float(centre))
            for label, centre in zip(labels, centres, strict=True)
            if known and np.isfinite(centre)
        ),
    )


def _locator(table: RunTable, row: Row, x: int, y: int) -> Locator:
    """Give a small map of the line that is brightest here, and where in it the spaxel lies."""
    names = [f"{line}_flux" for line in line_names(table.schema)]
    name = max(names, key=lambda name: np.nan_to_num(row[name], nan=-np.inf))
    (x0, y0), (nx, ny) = table.grid.origin, table.grid.shape
    side = -(-max(nx, ny) // FINEST)
    shape = -(-ny // side), -(-nx // side)
    total, count = np.zeros(shape[0] * shape[1]), np.zeros(shape[0] * shape[1])
    for rows in table.chunks(["x", "y", "status", name]):
        cell = (rows["y"] - y0) // side * shape[1] + (rows["x"] - x0) // side
        good = np.isfinite(rows[name]) & ((rows["status"] & UNTRUSTED) == 0)
        total += np.bincount(cell[good], rows[name][good], minlength=total.size)
        count += np.bincount(cell[good], minlength=total.size)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    place = (x - x0 + 0.5) / side - 0.5, (y - y0 + 0.5) / side - 0.5
    return Locator(mean.reshape(shape), quantity_label(name), place)
