"""A coarse map that fills while the rows come: what the live view draws."""

import math
import threading
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..io.records import Area
from ..io.results import FitStatus, line_names

_UNUSABLE = FitStatus.NO_DATA | FitStatus.NO_SIGNAL


@dataclass(frozen=True, slots=True)
class Picture:
    """A map to draw.

    Parameters
    ----------
    values : ndarray, shape (y cell, x cell)
        NaN where no row has come.
    label, unit : str
        What it is; the unit as FITS writes it.
    """

    values: NDArray[np.float64]
    label: str
    unit: str


class LiveMap:
    """Means of fluxes and velocity over square cells of spaxels.

    Parameters
    ----------
    area : Area
        What the run covers.
    schema : pyarrow.Schema
        Of the rows.
    width, height : int
        Cells at most.
    """

    def __init__(self, area: Area, schema: pa.Schema, *, width: int = 96, height: int = 64) -> None:
        self.area = area
        self.lines = line_names(schema)
        nx, ny = area.shape
        self.side = max(1, math.ceil(nx / width), math.ceil(ny / height))
        self.shape = math.ceil(ny / self.side), math.ceil(nx / self.side)
        self._names = [f"{line}_flux" for line in self.lines]
        if "velocity" in schema.names:
            self._names.append("velocity")
        self._units = [
            (schema.field(name).metadata or {}).get(b"unit", b"").decode() for name in self._names
        ]
        cells = self.shape[0] * self.shape[1]
        self._sums = np.zeros((len(self._names), cells))
        self._counts = np.zeros((len(self._names), cells), dtype=np.int64)
        self._guard = threading.Lock()

    def add(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Add rows with a signal to their cells."""
        x, y = rows["x"].to_numpy(), rows["y"].to_numpy()
        cell = (y - self.area.y0) // self.side * self.shape[1] + (x - self.area.x0) // self.side
        usable = rows["status"].to_numpy() & int(_UNUSABLE) == 0
        for index, name in enumerate(self._names):
            values = rows[name].to_numpy()
            good = usable & np.isfinite(values)
            sums = np.bincount(cell[good], values[good], minlength=self._sums.shape[1])
            counts = np.bincount(cell[good], minlength=self._sums.shape[1])
            with self._guard:
                self._sums[index] += sums
                self._counts[index] += counts

    @property
    def brightest(self) -> str | None:
        """The line with the largest flux so far; None before there is one."""
        if not self.lines or not self._counts.any():
            return None
        return self.lines[int(np.argmax(self._sums[: len(self.lines)].sum(axis=1)))]

    def pictures(self) -> tuple[Picture, ...]:
        """Mean flux of the brightest line, then mean velocity; none before the first signal."""
        line = self.brightest
        shown = [] if line is None else [(self.lines.index(line), f"flux of {line}")]
        if "velocity" in self._names and self._counts.any():
            shown.append((len(self._names) - 1, "velocity"))
        return tuple(Picture(self._mean(at), label, self._units[at]) for at, label in shown)

    def _mean(self, index: int) -> NDArray[np.float64]:
        """One quantity; NaN where no row has come."""
        with self._guard:
            sums, counts = self._sums[index].copy(), self._counts[index].copy()
        mean = np.full(counts.shape, np.nan)
        np.divide(sums, counts, out=mean, where=counts > 0)
        return mean.reshape(self.shape)
