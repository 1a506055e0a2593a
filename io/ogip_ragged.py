"""Columns with rows of any length: all values in order, and how many each row has.

Variable-length columns of FITS keep for each row how many values it has and where in the heap
behind the table they lie (FITS standard 4.0, section 7.3.5). They are taken from there at once,
which for a redistribution matrix is ten times as fast as row by row.
"""

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Ints = NDArray[np.int64]

_KINDS = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
_FORMAT = re.compile(r"[01]?(?P<place>[PQ])(?P<kind>[BIJKED])(\(\d*\))?")


class Ragged(NamedTuple):
    """Values one row after the other, and how many each row has."""

    values: NDArray[Any]
    lengths: Ints


def flatten(column: NDArray[Any]) -> Ragged:
    """Flatten a column of scalars, of fixed width, or an array of arrays."""
    if column.dtype != object:
        rows = column.reshape(column.shape[0], -1)
        return Ragged(rows.ravel(), np.full(rows.shape[0], rows.shape[1], dtype=np.int64))
    lengths = np.array([len(row) for row in column], dtype=np.int64)
    values = np.concatenate([np.asarray(row) for row in column]) if column.size else column
    return Ragged(values, lengths)


def from_heap(hdu: Any, column: Any, stored: bytes, where: str) -> Ragged | None:
    """Take a variable-length column from the bytes of its table.

    Parameters
    ----------
    hdu : astropy.io.fits.BinTableHDU
        Its header and columns are used.
    column : astropy.io.fits.Column
    stored : bytes
        The table and its heap, as in the file.
    where : str
        File and extension, for messages.

    Returns
    -------
    Ragged or None
        None where the column is of another kind.

    Raises
    ------
    InputError
        If a row reaches beyond the heap.
    """
    found = _FORMAT.fullmatch(str(column.format).strip())
    if found is None:
        return None
    fields = hdu.columns.dtype.fields
    rows, width = int(hdu.header["NAXIS2"]), int(hdu.header["NAXIS1"])
    size = 4 if found["place"] == "P" else 8
    pointers = np.ndarray(
        (rows, 2), f">i{size}", stored, fields[column.name][1], strides=(width, size)
    ).astype(np.int64)
    kind = np.dtype(_KINDS[found["kind"]])
    lengths, starts = pointers[:, 0], pointers[:, 1]
    heap = memoryview(stored)[int(hdu.header.get("THEAP", rows * width)) :]
    stops = starts + lengths * kind.itemsize
    beyond = np.flatnonzero((lengths < 0) | (starts < 0) | ((stops > len(heap)) & (lengths > 0)))
    if beyond.size:
        row = beyond[0]
        raise InputError(
            f"{where}: row {row + 1} of {column.name} has {lengths[row]} values from byte "
            f"{starts[row]} of a heap of {len(heap)} bytes; copy the file again"
        )
    pieces = b"".join(
        heap[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
    )
    values = np.frombuffer(pieces, kind).astype(kind.newbyteorder("="))
    return Ragged(_scaled(values, column.bscale, column.bzero), lengths)


def _scaled(values: NDArray[Any], scale: Any, zero: Any) -> NDArray[Any]:
    """Apply TSCAL and TZERO; whole numbers stay whole where they can."""
    scale, zero = (1 if scale in (None, "") else scale), (0 if zero in (None, "") else zero)
    if (scale, zero) == (1, 0):
        return values
    whole = values.dtype.kind in "iu" and float(scale).is_integer() and float(zero).is_integer()
    wide = values.astype(np.int64 if whole else np.float64)
    return wide * (int(scale) if whole else scale) + (int(zero) if whole else zero)
