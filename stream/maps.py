"""The command `maps`: a FITS file for each quantity of a run, and pictures to look at.

Quantities are taken one after the other, so memory holds two maps whatever the number of columns.
A spaxel without a row, or left out by --where, is NaN; the map of status bits keeps every row. A
derived quantity is worked out in double precision from the rows, part by part; it may use those
derived before it, and --where may use them all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.errors import InputError, StorageError
from ..io.products import NO_ROW, write_map
from ..io.results import STATUS_TEXT, FitStatus, line_names
from .columns import UNTRUSTED, RunTable
from .expressions import Expression, parse, parse_named
from .labels import quantity_label
from .provenance import common_cards, quantity_cards
from .quicklook import Picture, draw, kind_of, shrink

BITS = {str(bit.name): int(bit) for bit in FitStatus}


@dataclass(frozen=True, slots=True)
class MapsReport:
    """What was written.

    Parameters
    ----------
    files : tuple of Path
        In the order of writing.
    rows, kept : int
        Spaxels fitted, and those that --where keeps.
    planned : int
        Spaxels of the whole run.
    """

    files: tuple[Path, ...]
    rows: int
    kept: int
    planned: int

    def __str__(self) -> str:
        """Say it in a line."""
        fits = sum(path.suffix == ".fits" for path in self.files)
        words = f"{fits} maps and {len(self.files) - fits} pictures of {self.rows} spaxels"
        if self.kept < self.rows:
            words += f", {self.kept} of them kept by --where"
        if self.rows < self.planned:
            words += f"; the run is not complete: {self.planned - self.rows} spaxels are to come"
        return words


def make_maps(
    run: Path,
    out: Path,
    *,
    where: str | None = None,
    derive: Sequence[str] = (),
    pictures: bool = True,
) -> MapsReport:
    """Write the maps of a run.

    Parameters
    ----------
    run, out : Path
        The run directory, and the folder of the maps (made if it is not there).
    where : str, optional
        Condition on columns; where it does not hold the maps are NaN.
    derive : sequence of str
        NAME=EXPR, each a further map.
    pictures : bool
        Draw PNG quick looks too.

    Raises
    ------
    InputError
        If `run` is not a run, or an expression is not one.
    RunError
        If the table has no rows yet, or is damaged.
    StorageError
        If the disk refuses.
    """
    maker = _Maker(RunTable(run), where=where, derive=derive)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{out}: cannot be made ({error.strerror}); name another folder") from (
            error
        )
    files = list(maker.write(out))
    if pictures:
        files += maker.draw(out)
    return MapsReport(tuple(files), maker.table.rows, maker.kept, maker.table.manifest.plan.spaxels)


class _Maker:
    """Makes the maps of one table."""

    def __init__(self, table: RunTable, *, where: str | None, derive: Sequence[str]) -> None:
        self.table = table
        self.stored = frozenset(table.names)
        self.derived: dict[str, Expression] = {}
        bits = frozenset(BITS)
        for text in derive:
            known = self.stored | frozenset(self.derived)
            name, expression = parse_named(text, known, bits, option="--derive")
            self.derived[name] = expression
        self.where: Expression | None = None
        if where is not None:
            known = self.stored | frozenset(self.derived)
            self.where = parse(where, known, bits, option="--where")
            if not self.where.logical:
                raise InputError(f"--where {where!r}: is a number; compare it, for example > 3")
        self.places = table.places()
        self.excluded = self._excluded()
        self.kept = table.rows - int(np.count_nonzero(self.excluded))
        self._looks: dict[str, Picture] = {}
        self._brightest = ("", -np.inf)

    def write(self, out: Path) -> Iterator[Path]:
        """Write status, then every quantity; what pictures need is kept, made small."""
        common = common_cards(self.table)
        if self.where is not None:
            common["SFWHERE"] = (self.where.text, "elsewhere NaN")
        self.status = self._map("status", np.int32)
        yield self._write_status(out / "status.fits", common)
        for name, error in [
            *quantities(self.table.names),
            *((name, None) for name in self.derived),
        ]:
            kind = np.float64 if name in self.derived else np.float32
            values = self._map(name, kind)
            uncertain = None if error is None else self._map(error, kind)
            cards = quantity_cards(self.table, name, self.derived.get(name))
            path = out / f"{name}.fits"
            write_map(path, values, grid=self.table.grid, cards=common | cards, error=uncertain)
            self._look(name, values, str(cards.get("BUNIT", "")))
            yield path

    def draw(self, out: Path) -> Iterator[Path]:
        """Draw every picture, and one page with the most telling four."""
        grid, title = self.table.grid, _title(self.table)
        nx, ny = grid.shape
        self._looks["status"] = Picture(self.status.reshape(ny, nx), "status", "", "status")
        for name, picture in self._looks.items():
            draw(out / f"{name}.png", [picture], grid=grid, title=title)
            yield out / f"{name}.png"
        telling = [self._brightest[0], "velocity", "broadening", "status"]
        page = [self._looks[name] for name in telling if name in self._looks]
        draw(out / "overview.png", page, grid=grid, title=title)
        yield out / "overview.png"

    def _map(self, name: str, kind: Any) -> NDArray[Any]:
        """Put a column, or a derived quantity, where its rows lie."""
        filled = self.table.grid.blank(kind)
        start = 0
        for values in self._values([name]):
            column = values[name]
            stop = start + len(column)
            filled[self.places[start:stop]] = column
            start = stop
        if kind is not np.int32:
            filled[self.places[self.excluded]] = np.nan
        return filled

    def _values(self, names: Sequence[str]) -> Iterator[dict[str, NDArray[Any]]]:
        """Give columns and derived quantities, part by part."""
        wanted = set(names)
        for name, expression in reversed(self.derived.items()):
            if name in wanted:
                wanted |= expression.columns
        for values in self.table.chunks(sorted(wanted & self.stored)):
            for name, expression in self.derived.items():
                if name in wanted:
                    values[name] = expression.evaluate(values, BITS)
            yield values

    def _excluded(self) -> NDArray[np.bool_]:
        """Give the rows that --where leaves out; what is unknown (NaN) does not hold."""
        where = self.where
        if where is None:
            return np.zeros(self.table.rows, bool)
        chunks = self._values(sorted(where.columns))
        return np.concatenate([~where.evaluate(values, BITS) for values in chunks])

    def _write_status(self, path: Path, common: dict[str, Any]) -> Path:
        cards: dict[str, Any] = {name: card for name, card in common.items() if name != "SFWHERE"}
        cards["QUANTITY"] = ("status", "column of the table")
        cards["NOROW"] = (NO_ROW, "value of a pixel without a row")
        for bit in FitStatus:
            cards[f"BIT{int(bit).bit_length() - 1:02d}"] = (bit.name, f"value {int(bit)}")
        comments = tuple(f"{bit.name}: {STATUS_TEXT[bit]}" for bit in FitStatus)
        comments += ("0 is good. Bits 16 to 23 are for users.",)
        write_map(path, self.status, grid=self.table.grid, cards=cards, comments=comments)
        return path

    def _look(self, name: str, values: NDArray[Any], unit: str) -> None:
        """Keep a map for its picture, made small; remember the brightest line."""
        kind = "positive" if name in self.derived else kind_of(name)
        if kind is None:
            return
        nx, ny = self.table.grid.shape
        untrusted = (self.status.reshape(ny, nx) & UNTRUSTED) != 0
        shown = values.reshape(ny, nx)
        typical = shrink(np.where(untrusted, np.nan, shown))
        noise = kind in ("velocity", "positive") and name not in self.derived
        drawn = typical if noise else shrink(shown)
        self._looks[name] = Picture(drawn, quantity_label(name), unit, kind, typical)
        if name.removesuffix("_flux") in line_names(self.table.schema):
            total = float(np.nanmean(typical)) if np.isfinite(typical).any() else -np.inf
            if total > self._brightest[1]:
                self._brightest = (name, total)


def quantities(names: Sequence[str]) -> list[tuple[str, str | None]]:
    """Pair each quantity of a table with the column of its error, None where there is none."""
    known = set(names)
    pairs: dict[str, str | None] = {}
    for name in names:
        errors = (error for error in (f"{name}_err", f"{name}_sigma") if error in known)
        pairs[name] = next(errors, None)
    taken = {*pairs.values(), "x", "y", "status"}
    return [(name, error) for name, error in pairs.items() if name not in taken]


def _title(table: RunTable) -> str:
    """Name what was observed and what made the map."""
    header = table.manifest.header
    words = [header["target"] or header["name"], header["instrument"], header["filter_name"]]
    version = table.manifest.choices["version"]
    return " · ".join([*(word for word in words if word), f"stream-fit {version}"])
