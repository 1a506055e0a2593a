"""Writes OGIP spectra and responses as the archive of Chandra has them."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ..io.observations import Response

Array = NDArray[np.float64]

_COMMON = {"TELESCOP": "SIMULATE", "INSTRUME": "ACIS-LIKE", "FILTER": "NONE"}


def write_pha(path: Path, counts: NDArray[np.int64], *, image: int = 0, **cards: Any) -> None:
    """Write a spectrum of type I.

    Parameters
    ----------
    path : Path
        Replaced if it is there.
    counts : ndarray of int, shape (channel,)
    image : int
        Side of the image of the source's region in the first HDU [pixels]; 0 for none.
    **cards
        Of the table: EXPOSURE, BACKSCAL, RESPFILE and so on.
    """
    columns = [
        fits.Column("CHANNEL", "J", array=1 + np.arange(counts.size)),
        fits.Column("COUNTS", "J", array=counts),
    ]
    words: dict[str, Any] = {
        **{"HDUCLASS": "OGIP", "HDUCLAS1": "SPECTRUM", "HDUVERS1": "1.1.0", "HDUCLAS2": "TOTAL"},
        **{"HDUCLAS3": "COUNT", "CHANTYPE": "PI", "DETCHANS": counts.size, "TLMIN1": 1},
        **{"TLMAX1": counts.size, "POISSERR": True, "GROUPING": 0, "QUALITY": 0},
        **{"AREASCAL": 1.0, "CORRFILE": "none", "CORRSCAL": 1.0, **_COMMON},
    }
    _write(path, [_table("SPECTRUM", columns, {**words, **cards})], image)


def write_arf(path: Path, response: Response) -> None:
    """Write the effective area of a response."""
    columns = [*_energies(response), fits.Column("SPECRESP", "E", "cm**2", array=response.area)]
    words = {"HDUCLASS": "OGIP", "HDUCLAS1": "RESPONSE", "HDUCLAS2": "SPECRESP", **_COMMON}
    _write(path, [_table("SPECRESP", columns, words)])


def write_rmf(path: Path, response: Response) -> None:
    """Write the redistribution of a response, each row as runs of channels."""
    first = response.first_channel
    matrix = response.matrix.sorted_indices()
    starts: list[NDArray[np.int16]] = []
    lengths: list[NDArray[np.int16]] = []
    values: list[NDArray[np.float32]] = []
    for row in range(matrix.shape[0]):
        inside = slice(matrix.indptr[row], matrix.indptr[row + 1])
        channels = matrix.indices[inside]
        breaks = np.flatnonzero(np.diff(channels) > 1) + 1
        begins = np.concatenate([[0], breaks]).astype(np.int64)[: channels.size]
        starts.append((channels[begins] + first).astype(np.int16))
        lengths.append(np.diff(np.append(begins, channels.size)).astype(np.int16))
        values.append(matrix.data[inside].astype(np.float32))
    columns = [
        *_energies(response),
        fits.Column("N_GRP", "I", array=np.array([one.size for one in starts])),
        fits.Column("F_CHAN", "PI()", array=_ragged(starts)),
        fits.Column("N_CHAN", "PI()", array=_ragged(lengths)),
        fits.Column("MATRIX", "PE()", array=_ragged(values)),
    ]
    words = {"HDUCLASS": "OGIP", "HDUCLAS1": "RESPONSE", "HDUCLAS2": "RSP_MATRIX", **_COMMON}
    words |= {"TLMIN4": first, "TLMAX4": first + response.channels - 1}
    bounds = [
        fits.Column("CHANNEL", "J", array=first + np.arange(response.channels)),
        fits.Column("E_MIN", "E", "keV", array=response.channel_low),
        fits.Column("E_MAX", "E", "keV", array=response.channel_high),
    ]
    told = {**_COMMON, "HDUCLASS": "OGIP", "HDUCLAS1": "RESPONSE", "HDUCLAS2": "EBOUNDS"}
    _write(path, [_table("MATRIX", columns, words), _table("EBOUNDS", bounds, told)])


def _energies(response: Response) -> list[fits.Column]:
    """Give the edges of the energy bins."""
    return [
        fits.Column("ENERG_LO", "E", "keV", array=response.energy_low),
        fits.Column("ENERG_HI", "E", "keV", array=response.energy_high),
    ]


def _ragged(rows: list[Any]) -> NDArray[Any]:
    """Put rows of different lengths into an array of objects."""
    packed = np.empty(len(rows), dtype=object)
    packed[:] = rows
    return packed


def _table(name: str, columns: list[fits.Column], cards: dict[str, Any]) -> fits.BinTableHDU:
    """Make a table with its cards."""
    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    for keyword, value in cards.items():
        hdu.header[keyword] = value
    return hdu


def _write(path: Path, tables: list[fits.BinTableHDU], image: int = 0) -> None:
    """Write a file, with an image in its first HDU where one is wanted."""
    primary = fits.PrimaryHDU(np.zeros((image, image), np.int16) if image else None)
    if image:
        primary.header["HDUNAME"] = "WMAP"
    fits.HDUList([primary, *tables]).writeto(path, overwrite=True)
