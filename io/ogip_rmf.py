"""ARF and RMF to one `Response`, with the matrix kept sparse.

A row of the MATRIX table holds, for one photon energy, N_GRP runs of channels: the run that begins
at F_CHAN takes the next N_CHAN values of MATRIX (CAL/GEN/92-002 and 92-002a). The three columns may
be scalar, of fixed width with padding behind, or of variable length, and N_GRP may be 0.

The first channel is TLMIN of F_CHAN. Where the header does not say, it is TLMIN of CHANNEL in
EBOUNDS, then the first CHANNEL where that is 0 or 1, then 1: CHANNEL itself cannot be trusted, for
it is stored as garbage in some files of the archive.
"""

import dataclasses
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .errors import InputError
from .observations import Array, Response
from .ogip_file import OgipFile, OgipTable
from .ogip_ragged import Ragged

_MATRIX = ("MATRIX", "SPECRESP MATRIX", "RSP_MATRIX")
_AREA_UNITS = {"": 1.0, "cm**2": 1.0, "cm2": 1.0, "cm^2": 1.0, "m**2": 1e4, "m2": 1e4, "m^2": 1e4}
_EDGES_AGREE = 1e-3  # relative
# Rows of a pure redistribution sum to one: more than this is an area in cm2.
_AREA_ABOVE = 2.0

Ints = NDArray[np.int64]


class Arf(NamedTuple):
    """Effective area on its energy grid."""

    name: str
    low: Array
    high: Array
    area: Array


@functools.lru_cache(maxsize=4)
def _cached(rmf: Path, arf: Path | None, stamps: tuple[int, ...]) -> Response:
    """Read a response once where several spectra in a row share it."""
    del stamps
    return _joined(_read_rmf(rmf), None if arf is None else read_arf(arf))


def read_response(rmf: Path, arf: Path | None = None) -> Response:
    """Read an RMF and the ARF that belongs to it.

    Parameters
    ----------
    rmf : Path
    arf : Path or None
        None where the matrix holds the area.

    Returns
    -------
    Response
        Energies increase.

    Raises
    ------
    InputError
        If a file is no such thing or malformed, the energy grids disagree, or an area is missing or
        given twice.
    """
    files = [path for path in (rmf, arf) if path is not None]
    try:
        stamps = tuple(value for path in files for value in _stamp(path))
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); check the path"
        ) from None
    return _cached(rmf, arf, stamps)


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of a file, so that one that was replaced is read again."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def read_arf(path: Path) -> Arf:
    """Read an effective area.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Arf
        In the order of the file.

    Raises
    ------
    InputError
        If it is no ARF, or an area is negative or not finite.
    """
    with OgipFile(path) as file:
        table = _only(file, ("RESPONSE", "SPECRESP"), ("SPECRESP",), "an ARF")
        low, high = table.energy("ENERG_LO"), table.energy("ENERG_HI")
        area = table.column("SPECRESP").astype(np.float64)
        unit = table.unit("SPECRESP").replace(" ", "").lower()
        where = table.where
    if unit not in _AREA_UNITS:
        raise InputError(f"{where}: SPECRESP is in {unit!r}, not cm**2; write it in cm**2")
    wrong = np.flatnonzero(~(np.isfinite(area) & (area >= 0)))
    if area.shape != low.shape or wrong.size:
        value = f"is {area[wrong[0]]:g} in row {wrong[0] + 1}" if wrong.size else "is no column"
        raise InputError(f"{where}: SPECRESP {value}, not an area; make the ARF again")
    return Arf(path.name, low, high, area * _AREA_UNITS[unit])


def _read_rmf(path: Path) -> Response:
    """Read a redistribution matrix with its channels; the area is one."""
    with OgipFile(path) as file:
        table = _only(file, ("RESPONSE", "RSP_MATRIX"), _MATRIX, "an RMF")
        bounds = _only(file, ("RESPONSE", "EBOUNDS"), ("EBOUNDS",), "an RMF with EBOUNDS")
        edges = bounds.energy("E_MIN"), bounds.energy("E_MAX")
        low, high = table.energy("ENERG_LO"), table.energy("ENERG_HI")
        first = _first_channel(table, bounds)
        matrix = _matrix(table, edges[0].size, first)
    channel_low, channel_high = np.minimum(*edges), np.maximum(*edges)
    if low.size > 1 and low[0] > low[-1]:
        low, high, matrix = low[::-1], high[::-1], matrix[::-1]
    if not (np.all(high > low) and np.all(np.diff(low) > 0)):
        raise InputError(f"{table.where}: the energies do not increase; make the RMF again")
    matrix, notes = _positive(matrix, path.name)
    return Response(
        path.name, low, high, np.ones(low.size), matrix, channel_low, channel_high, first, notes
    )


def _only(file: OgipFile, kind: tuple[str, ...], names: tuple[str, ...], what: str) -> OgipTable:
    """Find the one table of a kind."""
    tables = file.tables(kind, names)
    if len(tables) == 1:
        return tables[0]
    if not tables:
        raise InputError(
            f"{file.name}: not {what}, it holds {file.contents()} but no {names[0]}; "
            "give the file that does"
        )
    raise InputError(
        f"{file.name}: {len(tables)} {names[0]} extensions, not one; add them to one matrix"
    )


def _first_channel(table: OgipTable, bounds: OgipTable) -> int:
    """Tell which number the first channel has."""
    if "F_CHAN" in table and (lowest := table.lowest("F_CHAN")) is not None:
        return lowest
    if "CHANNEL" not in bounds:
        return 1
    if (lowest := bounds.lowest("CHANNEL")) is not None:
        return lowest
    channel = bounds.column("CHANNEL")
    return int(channel[0]) if channel.size and channel[0] in (0, 1) else 1


def _matrix(table: OgipTable, channels: int, first: int) -> csr_array:
    """Spread the runs of channels over a sparse matrix, shape (energy, channel)."""
    groups = table.column("N_GRP").astype(np.int64)
    starts, counts = (_runs(table, name, groups) for name in ("F_CHAN", "N_CHAN"))
    values = table.ragged("MATRIX")
    needed = np.zeros(groups.size, dtype=np.int64)
    np.add.at(needed, np.repeat(np.arange(groups.size), groups), counts)
    short = np.flatnonzero(values.lengths < needed)
    if short.size:
        row = short[0]
        raise InputError(
            f"{table.where}: row {row + 1} has {values.lengths[row]} values of MATRIX but N_CHAN "
            f"asks for {needed[row]}; make the RMF again"
        )
    lows = starts - first
    outside = np.flatnonzero((counts > 0) & ((lows < 0) | (lows + counts > channels)))
    if outside.size:
        run = outside[0]
        raise InputError(
            f"{table.where}: channels {starts[run]} to {starts[run] + counts[run] - 1} are outside "
            f"{first} to {first + channels - 1} of EBOUNDS; write TLMIN of F_CHAN"
        )
    offsets = np.concatenate([[0], np.cumsum(counts)[:-1]]) if counts.size else counts
    shift = np.repeat((lows - offsets).astype(np.int32), counts)
    columns = np.arange(shift.size, dtype=np.int32) + shift
    pointers = np.concatenate([[0], np.cumsum(needed)]).astype(np.int32)
    matrix = csr_array(
        (_first(values, needed).astype(np.float32, copy=False), columns, pointers),
        shape=(groups.size, channels),
    )
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _runs(table: OgipTable, name: str, groups: Ints) -> Ints:
    """Give the first N_GRP entries of every row of F_CHAN or N_CHAN, one after the other."""
    found = table.ragged(name)
    short = np.flatnonzero(found.lengths < groups)
    if short.size:
        row = short[0]
        raise InputError(
            f"{table.where}: row {row + 1} has {found.lengths[row]} values of {name} but N_GRP is "
            f"{groups[row]}; make the RMF again"
        )
    return _first(found, groups).astype(np.int64)


def _first(ragged: Ragged, wanted: Ints) -> NDArray:
    """Give the first `wanted` values of each row, one row after the other."""
    if np.array_equal(ragged.lengths, wanted):
        return ragged.values
    ends = np.cumsum(ragged.lengths)
    place = np.arange(ragged.values.size) - np.repeat(ends - ragged.lengths, ragged.lengths)
    return ragged.values[place < np.repeat(wanted, ragged.lengths)]


def _positive(matrix: csr_array, name: str) -> tuple[csr_array, tuple[str, ...]]:
    """Set what is negative to zero, saying so; refuse what is not finite."""
    if not np.all(np.isfinite(matrix.data)):
        raise InputError(f"{name}: the matrix holds values that are not finite; make it again")
    below = matrix.data < 0
    if not below.any():
        return matrix, ()
    deepest = matrix.data.min()
    matrix.data[below] = 0.0
    matrix.eliminate_zeros()
    note = f"{name}: {np.count_nonzero(below)} negative values of the matrix (to {deepest:.1e}) set"
    return matrix, (f"{note} to 0",)


def _joined(rmf: Response, arf: Arf | None) -> Response:
    """Put the area to the matrix, on one energy grid."""
    peak = float(np.max(rmf.matrix @ np.ones(rmf.channels), initial=0.0))
    if arf is None and peak <= _AREA_ABOVE:
        raise InputError(
            f"{rmf.name}: its rows sum to {peak:.3g} at most, so there is no area in it, and no "
            "ARF is given; give the ARF"
        )
    if arf is None:
        note = f"{rmf.name}: the matrix holds the area, rows sum to {peak:.4g} cm2 at most"
        return dataclasses.replace(rmf, notes=(*rmf.notes, note))
    if peak > _AREA_ABOVE:
        raise InputError(
            f"{rmf.name}: its rows sum to {peak:.4g}, so the area is in it, and the ARF "
            f"{arf.name} gives one again; give none as the ARF, or the pure RMF"
        )
    descending = arf.low.size > 1 and arf.low[0] > arf.low[-1]
    low, high, area = (part[::-1] if descending else part for part in arf[1:])
    if low.size != rmf.energies:
        raise InputError(
            f"{arf.name} has {low.size} energies but {rmf.name} has {rmf.energies}; "
            "make the ARF on the grid of the RMF"
        )
    apart = np.maximum(np.abs(low - rmf.energy_low), np.abs(high - rmf.energy_high))
    worst = int(np.argmax(apart / rmf.energy_high))
    if apart[worst] > _EDGES_AGREE * rmf.energy_high[worst]:
        raise InputError(
            f"{arf.name} has {low[worst]:g} to {high[worst]:g} keV in row {worst + 1} but "
            f"{rmf.name} {rmf.energy_low[worst]:g} to {rmf.energy_high[worst]:g}; "
            "make the ARF on the grid of the RMF"
        )
    return dataclasses.replace(rmf, name=f"{rmf.name} with {arf.name}", area=area)
