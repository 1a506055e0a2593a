"""Tables of an OGIP file: PHA, ARF and RMF are FITS files with binary tables.

Only the table that is asked for is read: the image of the source region (WMAP) that many spectra
carry in their first HDU stays on the disk. Extensions are found by the class keywords of OGIP
(HDUCLAS1, HDUCLAS2), then by name, for both are missing somewhere.
"""

import contextlib
import gzip
import io
import warnings
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from .errors import InputError
from .fits_cards import Cards
from .ogip_ragged import Ragged, flatten, from_heap

_MAGIC = b"SIMPLE  ="
_GZIP = b"\x1f\x8b"
_DAMAGED = (OSError, EOFError, ValueError, TypeError, KeyError, IndexError, fits.VerifyError)
# To keV; a name without a unit means keV, as the standard has it (CAL/GEN/92-002, section 3).
_ENERGY = {"kev": 1.0, "": 1.0, "ev": 1e-3, "mev": 1e3, "gev": 1e6}


class OgipTable:
    """One binary table, read when a column is first asked for.

    Attributes
    ----------
    where : str
        File and extension, as errors name them.
    rows : int
    """

    def __init__(self, name: str, hdu: fits.BinTableHDU, stream: Any) -> None:
        self._hdu, self._stream = hdu, stream
        self.where = f"{name}[{hdu.name or 'unnamed'}]"
        self._header: Any = hdu.header
        self.rows = int(self._header.get("NAXIS2") or 0)
        self._columns: Any = hdu.columns
        self._names = {str(column.name).upper(): column for column in self._columns}

    @cached_property
    def cards(self) -> Cards:
        """The header."""
        return _cards(self._header)

    def __contains__(self, column: str) -> bool:
        """Whether there is a column of this name."""
        return column in self._names

    def column(self, name: str) -> NDArray[Any]:
        """Give a column; rows of variable length come as an array of arrays.

        Raises
        ------
        InputError
            If it is not there or cannot be read.
        """
        if name not in self._names:
            found = ", ".join(self._names) or "none"
            raise InputError(f"{self.where}: no column {name}, only {found}; write it as OGIP does")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                column = np.asarray(self._hdu.data[name])
        except _DAMAGED as error:
            raise InputError(
                f"{self.where}: column {name} cannot be read ({error}); copy the file again"
            ) from error
        return column if column.dtype.byteorder in "=|" else column.astype(column.dtype.name)

    def ragged(self, name: str) -> Ragged:
        """Give a column whose rows may differ in length, one row after the other.

        Raises
        ------
        InputError
            If it is not there or cannot be read.
        """
        found = None
        if name in self._names:
            found = from_heap(self._hdu, self._names[name], self._stored, self.where)
        return flatten(self.column(name)) if found is None else found

    @cached_property
    def _stored(self) -> bytes:
        """The table with its heap, as the file has it."""
        place = self._hdu.fileinfo() or {}
        self._stream.seek(place["datLoc"])
        return self._stream.read(self._hdu.size)

    def energy(self, name: str) -> NDArray[np.float64]:
        """Give a column of energies [keV].

        Raises
        ------
        InputError
            If it is not there, not finite, or in a unit that is no energy.
        """
        unit = str(self._names[name].unit or "").strip() if name in self else ""
        if unit.lower() not in _ENERGY:
            raise InputError(f"{self.where}: {name} is in {unit!r}, not keV; write it in keV")
        values = self.column(name).astype(np.float64) * _ENERGY[unit.lower()]
        if values.ndim != 1 or not np.all(np.isfinite(values)):
            raise InputError(f"{self.where}: {name} is not one finite energy a row; write it again")
        return values

    def has_vectors(self, name: str) -> bool:
        """Whether a column holds more than one value a row, told from the header."""
        return name in self and bool(self._columns.dtype[self._names[name].name].shape)

    def unit(self, name: str) -> str:
        """Give the unit of a column, "" where there is none."""
        return str(self._names[name].unit or "").strip()

    def lowest(self, name: str) -> int | None:
        """Give TLMIN of a column, None where the header has none that is a number."""
        index = list(self._names).index(name) + 1
        try:
            return int(self._header[f"TLMIN{index}"])
        except (KeyError, TypeError, ValueError, fits.VerifyError):
            return None

    def classes(self) -> tuple[str, ...]:
        """Give HDUCLAS1 to HDUCLAS4 in capitals."""
        return _classes(self._header)


class OgipFile:
    """An open OGIP file; a context manager.

    Parameters
    ----------
    path : Path
        Plain or gzipped.

    Raises
    ------
    InputError
        If it cannot be read, is not FITS, or is cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        stream, size = _stream(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._file = fits.open(stream, memmap=False)
                self._hdus: list[Any] = list(self._file)
                self._check(size, stream)
        except InputError:
            stream.close()
            raise
        except _DAMAGED as error:
            stream.close()
            raise InputError(
                f"{self.name}: a header cannot be read ({error}), the file has {size} bytes; "
                "it is cut short or damaged, copy it again"
            ) from error
        self._stream = stream

    def __enter__(self) -> "OgipFile":
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()
        self._stream.close()

    def tables(self, kind: tuple[str, ...], names: tuple[str, ...]) -> list[OgipTable]:
        """Find the tables of a kind.

        Parameters
        ----------
        kind : tuple of str
            HDUCLAS1 and the classes behind it.
        names : tuple of str
            EXTNAME, looked at where no table has the classes.

        Returns
        -------
        list of OgipTable
        """
        found = [hdu for hdu in self._hdus if isinstance(hdu, fits.BinTableHDU)]
        by_class = [hdu for hdu in found if _classes(hdu.header)[: len(kind)] == kind]
        chosen = by_class or [hdu for hdu in found if str(hdu.name).upper() in names]
        return [OgipTable(self.name, hdu, self._stream) for hdu in chosen]

    def contents(self) -> str:
        """Name the extensions, for messages."""
        return ", ".join(hdu.name or "unnamed" for hdu in self._hdus[1:]) or "no extension"

    def _check(self, size: int, stream: Any) -> None:
        """Refuse a file that ends before its last table does, or goes on with half a header."""
        end = 0
        for index, hdu in enumerate(self._hdus):
            place = hdu.fileinfo() or {}
            needed, end = place["datLoc"] + hdu.size, place["datLoc"] + place["datSpan"]
            if needed > size:
                raise InputError(
                    f"{self.name}: HDU {index} ({hdu.name or 'unnamed'}) needs {needed} bytes but "
                    f"the file has {size}; it is cut short, copy it again"
                )
        stream.seek(end)
        if stream.read(8) == b"XTENSION":
            raise InputError(
                f"{self.name}: the header of HDU {len(self._hdus)} breaks off, the file has {size} "
                "bytes; it is cut short, copy it again"
            )


def _stream(path: Path) -> tuple[Any, int]:
    """Open a file, unpacked in memory where it is gzipped, and give its length."""
    try:
        stream: Any = path.open("rb")
        start = stream.read(len(_MAGIC))
        if start.startswith(_GZIP):
            stream.seek(0)
            with stream, gzip.open(stream) as packed:
                stream = io.BytesIO(packed.read())
            start = stream.read(len(_MAGIC))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path.name}: the gzip stream ends or breaks ({error}); copy the file again"
        ) from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from None
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if start != _MAGIC:
        stream.close()
        raise InputError(
            f"{path.name}: not FITS, it has {size} bytes and begins with {start!r}; "
            "give an OGIP spectrum (PHA) or response"
        )
    return stream, size


def _classes(cards: Any) -> tuple[str, ...]:
    """Give HDUCLAS1 to HDUCLAS4 of a header, in capitals."""
    names = (f"HDUCLAS{level}" for level in (1, 2, 3, 4))
    return tuple(str(cards.get(name) or "").strip().upper() for name in names)


def _cards(header: fits.Header) -> Cards:
    """Take the values out of a header, leaving out the cards that cannot be read."""
    cards: Cards = {}
    for card in header.cards:
        with contextlib.suppress(fits.VerifyError, ValueError):
            value = None if isinstance(card.value, fits.card.Undefined) else card.value
            cards.setdefault(card.keyword, value)
    return cards
