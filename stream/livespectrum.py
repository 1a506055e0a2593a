"""The last spectrum that was deconvolved: what the live view of an X-ray run draws."""

import threading
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..io.results import FitStatus
from ..io.xray_columns import energy_edges

Array = NDArray[np.float64]

_DECADES = 4.0  # of flux shown at most: what is far below the peak is not measured
_WIDE = 1.959964  # standard deviations of a band of 95 %
_INK, _ONE_SIGMA, _TWO_SIGMA = 1.0, 0.5, 0.25


@dataclass(frozen=True, slots=True)
class Curve:
    """A spectrum with its bands.

    Parameters
    ----------
    edges : ndarray, shape (energy + 1,)
        [keV].
    log_flux, sigma : ndarray, shape (energy,)
        ln of the flux density and its standard deviation; NaN where not known.
    label, unit : str
        What it is; the unit as FITS writes it.
    """

    edges: Array
    log_flux: Array
    sigma: Array
    label: str
    unit: str = "photon / (cm**2 s keV)"

    @property
    def limits(self) -> tuple[float, float]:
        """Powers of ten between which the curve is drawn."""
        known = self.log_flux[np.isfinite(self.log_flux)] / np.log(10.0)
        if not known.size:
            return 0.0, 1.0
        high = float(known.max()) + 0.2
        low = max(float(known.min()) - 0.2, high - _DECADES)
        return low, max(high, low + 0.5)

    def raster(self, columns: int, rows: int) -> Array:
        """Draw it on pixels, energy to the right and flux upwards, both in logarithms.

        Parameters
        ----------
        columns, rows : int
            Pixels.

        Returns
        -------
        ndarray, shape (rows, columns)
            The first row is the lowest. One on the curve, less in its bands, NaN elsewhere.
        """
        low, high = self.limits
        centre = np.sqrt(self.edges[1:] * self.edges[:-1])
        energy = np.geomspace(self.edges[0], self.edges[-1], columns + 1)
        energy = np.sqrt(energy[1:] * energy[:-1])
        level = np.interp(energy, centre, self.log_flux) / np.log(10.0)
        reach = np.interp(energy, centre, np.nan_to_num(self.sigma)) / np.log(10.0)
        place = (level - low) / (high - low) * rows - 0.5
        reach = reach / (high - low) * rows
        away = np.abs(np.arange(rows)[:, None] - place)
        drawn = np.full((rows, columns), np.nan)
        drawn[away <= _WIDE * reach] = _TWO_SIGMA
        drawn[away <= reach] = _ONE_SIGMA
        drawn[away <= 0.5] = _INK
        return drawn


class LiveSpectrum:
    """Keeps the last row that has a spectrum; may be read from any thread.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the rows.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._edges = energy_edges(schema)
        self._last: Curve | None = None
        self._guard = threading.Lock()

    def add(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Take the last row with data."""
        status = rows["status"].to_numpy()
        known = np.flatnonzero(status & int(FitStatus.NO_DATA) == 0)
        if not known.size:
            return
        row = rows.slice(int(known[-1]), 1).to_pylist()[0]
        words = [row["obs"], row["target"], f"{row['counts']:.0f} counts"]
        curve = Curve(
            self._edges,
            np.array(row["log_photon_flux"]),
            np.array(row["log_photon_flux_sigma"]),
            ", ".join(word for word in words if word),
        )
        with self._guard:
            self._last = curve

    def pictures(self) -> tuple[Curve, ...]:
        """Give the last spectrum; none before the first."""
        with self._guard:
            return () if self._last is None else (self._last,)
