"""The SPECTRUM table of a PHA file, type I (a row a channel) or II (a row a spectrum).

What OGIP 92-007 and 92-007a allow is given here as it stands: counts per channel of the file,
quality, scales and the links. Response and background come to it in `ogip`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .fits_cards import Cards, number, text
from .observations import Array
from .ogip_file import OgipFile, OgipTable

KIND = ("SPECTRUM",)
_LINKS = ("BACKFILE", "RESPFILE", "ANCRFILE", "CORRFILE")
# Counts this near to a whole number are one that went through float32 or a rate.
_WHOLE_ABSOLUTE, _WHOLE_RELATIVE = 0.01, 1e-5


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One spectrum as its file has it.

    Parameters
    ----------
    name : str
        File name, with the row [n] where there are more.
    path : Path
    row : int
        0-based row of the file; 0 in type I.
    channels : ndarray of int, shape (channel,)
        Their numbers.
    counts : ndarray, shape (channel,)
    bad : ndarray of bool, shape (channel,)
        Quality other than 0, or counts that are not numbers.
    grouping : ndarray of int16, shape (channel,), or None
    exposure : float
        [s].
    back_scale, area_scale : ndarray, shape (channel,)
        BACKSCAL and AREASCAL.
    whole : bool
        Whether all good counts are whole numbers.
    net : bool
        Whether the header says that background was subtracted.
    links : dict
        BACKFILE, RESPFILE, ANCRFILE and CORRFILE where they are there.
    cards : dict
        The header.
    beside : Spectrum or None
        Background from columns of the same row, as grating spectra of Chandra have it.
    notes : tuple of str
        What was assumed.
    """

    name: str
    path: Path
    row: int
    channels: NDArray[np.int64]
    counts: Array
    bad: NDArray[np.bool_]
    grouping: NDArray[np.int16] | None
    exposure: float
    back_scale: Array
    area_scale: Array
    whole: bool
    net: bool
    links: dict[str, Any]
    cards: Cards = field(repr=False)
    beside: "Spectrum | None" = None
    notes: tuple[str, ...] = ()


def read_spectra(path: Path) -> list[Spectrum | InputError]:
    """Read every spectrum of a file.

    Parameters
    ----------
    path : Path
        PHA of type I or II.

    Returns
    -------
    list of Spectrum or InputError
        One for type I, else one a row: what is wrong with a row does not hide the others.

    Raises
    ------
    InputError
        If the file is no PHA file or is cut short.
    """
    with OgipFile(path) as file:
        table = _table(file)
        if not _is_type_two(table):
            return [_guarded(_Row(table, path, None))]
        return [_guarded(_Row(table, path, row)) for row in range(table.rows)]


def count_spectra(path: Path) -> int:
    """Count the spectra of a file from its headers.

    Parameters
    ----------
    path : Path

    Returns
    -------
    int
        One for a file that cannot be read: it has a row that says why.
    """
    try:
        with OgipFile(path) as file:
            table = _table(file)
            return table.rows if _is_type_two(table) else 1
    except InputError:
        return 1


def _table(file: OgipFile) -> OgipTable:
    """Find the one table of spectra."""
    tables = file.tables(KIND, KIND)
    if not tables:
        raise InputError(_no_spectrum(file))
    if len(tables) > 1:
        raise InputError(f"{file.name}: {len(tables)} SPECTRUM extensions, not one; split the file")
    return tables[0]


def _is_type_two(table: OgipTable) -> bool:
    """Whether each row is a spectrum."""
    return table.has_vectors("COUNTS" if "COUNTS" in table else "RATE")


def _no_spectrum(file: OgipFile) -> str:
    """Say what a file is that is no spectrum."""
    if file.tables(("RESPONSE",), ("MATRIX", "SPECRESP MATRIX", "EBOUNDS", "SPECRESP")):
        return f"{file.name}: a response, not a spectrum; give the PHA file that belongs to it"
    return f"{file.name}: no SPECTRUM extension, only {file.contents()}; give a PHA file"


def _guarded(row: "_Row") -> Spectrum | InputError:
    """Read one spectrum, or say why not."""
    try:
        return row.spectrum()
    except InputError as error:
        return error


class _Row:
    """One spectrum of a table: columns where there are, keywords where there are not."""

    def __init__(self, table: OgipTable, path: Path, row: int | None) -> None:
        self.table, self.path, self.row = table, path, row
        self.name = path.name if row is None else f"{path.name}[{row + 1}]"

    def vector(self, name: str) -> NDArray[Any]:
        """Give a value for each channel, or one for all."""
        column = self.table.column(name)
        return np.asarray(column if self.row is None else column[self.row])

    def value(self, name: str) -> Any:
        """Give a value of the spectrum: of its row in type II, else of the header."""
        if self.row is not None and name in self.table:
            found = self.table.column(name)[self.row]
            return found.decode() if isinstance(found, bytes) else found
        return self.table.cards.get(name)

    def spread(self, name: str, default: float, channels: int) -> Array:
        """Give a scale or flag for each channel, from a column or a keyword."""
        if name in self.table:
            found = self.vector(name).astype(np.float64)
        else:
            given = number(self.table.cards, name, where=self.table.where)
            found = np.array(default if given is None else given)
        if found.ndim and found.shape != (channels,):
            raise InputError(
                f"{self.name}: {name} has {found.size} channels but the spectrum {channels}; "
                "write one for each"
            )
        return np.broadcast_to(found, (channels,)).astype(np.float64)

    def spectrum(self) -> Spectrum:
        """Read all of it."""
        notes: list[str] = []
        exposure = self._exposure()
        counts = self._counts(exposure)
        channels = self._channels(counts.size, notes)
        quality = self.spread("QUALITY", 0, counts.size)
        missing = ~np.isfinite(counts)
        if missing.any():
            notes.append(f"{np.count_nonzero(missing)} channels without a number of counts are bad")
        bad = (quality != 0) | missing
        grouping = self.spread("GROUPING", 0, counts.size).astype(np.int16)
        counts, whole = _rounded(np.where(missing, 0.0, counts))
        self._refuse_negative(counts, channels)
        return Spectrum(
            name=self.name,
            path=self.path,
            row=self.row or 0,
            channels=channels,
            counts=counts,
            bad=bad,
            grouping=grouping if grouping.any() else None,
            exposure=exposure,
            back_scale=self.spread("BACKSCAL", 1.0, counts.size),
            area_scale=self.spread("AREASCAL", 1.0, counts.size),
            whole=whole,
            net="NET" in self.table.classes(),
            links={name: self.value(name) for name in _LINKS},
            cards=self.table.cards,
            beside=self._beside(channels, exposure),
            notes=tuple(notes),
        )

    def _exposure(self) -> float:
        """Give the exposure [s]."""
        value = self.value("EXPOSURE")
        found = number({"EXPOSURE": value}, "EXPOSURE", where=self.name)
        if found is None or found <= 0:
            said = "no EXPOSURE" if found is None else f"EXPOSURE is {found:g} s"
            raise InputError(f"{self.name}: {said}; write the exposure in s into the header")
        return found

    def _counts(self, exposure: float) -> Array:
        """Give the counts, from a rate where there are none."""
        if "COUNTS" in self.table:
            return self.vector("COUNTS").astype(np.float64)
        return self.vector("RATE").astype(np.float64) * exposure

    def _channels(self, count: int, notes: list[str]) -> NDArray[np.int64]:
        """Give the channel numbers, counted on where the column is missing or no count."""
        lowest = self.table.lowest("CHANNEL") if "CHANNEL" in self.table else None
        first = 1 if lowest is None else lowest
        if "CHANNEL" not in self.table:
            notes.append(f"no column CHANNEL: channels counted from {first}")
            return first + np.arange(count)
        column = self.vector("CHANNEL").astype(np.float64)
        steps = np.diff(column)
        monotonic = np.all(steps > 0) or np.all(steps < 0)
        if column.shape == (count,) and np.all(column >= 0) and monotonic:
            return np.rint(column).astype(np.int64)
        notes.append(f"CHANNEL does not count the channels: counted from {first}")
        return first + np.arange(count)

    def _refuse_negative(self, counts: Array, channels: NDArray[np.int64]) -> None:
        """Refuse counts below zero."""
        below = np.flatnonzero(counts < 0)
        if below.size:
            raise InputError(
                f"{self.name}: channel {channels[below[0]]} has {counts[below[0]]:g} counts, "
                f"{below.size} channels are negative; give the spectrum before the background was "
                "subtracted"
            )

    def _beside(self, channels: NDArray[np.int64], exposure: float) -> Spectrum | None:
        """Add up the two strips beside a grating spectrum, where the row has them."""
        strips = [
            (column, scale)
            for column, scale in (("BACKGROUND_UP", "BACKSCUP"), ("BACKGROUND_DOWN", "BACKSCDN"))
            if column in self.table
        ]
        if not strips:
            return None
        counts = np.zeros(channels.size)
        back_scale = np.zeros(channels.size)
        for column, scale in strips:
            counts = counts + self.vector(column).astype(np.float64)
            back_scale = back_scale + self.spread(scale, 1.0, channels.size)
        counts, whole = _rounded(np.nan_to_num(counts))
        names = " and ".join(column for column, _ in strips)
        return Spectrum(
            name=f"{self.name} {names}",
            path=self.path,
            row=self.row or 0,
            channels=channels,
            counts=counts,
            bad=np.zeros(channels.size, dtype=bool),
            grouping=None,
            exposure=exposure,
            back_scale=back_scale,
            area_scale=self.spread("AREASCAL", 1.0, channels.size),
            whole=whole,
            net=False,
            links={},
            cards=self.table.cards,
        )


def _rounded(counts: Array) -> tuple[Array, bool]:
    """Give whole counts where all are as good as whole, and whether they are."""
    whole = np.rint(counts)
    near = np.abs(counts - whole) <= _WHOLE_ABSOLUTE + _WHOLE_RELATIVE * np.abs(counts)
    return (whole, True) if near.all() else (counts, False)


def says(cards: Cards, *names: str) -> str:
    """Give the words of some header cards, those that say nothing left out."""
    words = (text(cards, name) for name in names)
    return " ".join(word for word in words if word and word.upper() != "NONE")
