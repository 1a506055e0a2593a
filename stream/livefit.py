"""The last source that was fitted, as the live view of the second X-ray stage draws it."""

import threading
from typing import Any

import numpy as np
import pyarrow as pa

from ..io.results import FitStatus
from ..kernels.plasma import PlasmaTable, flux_density
from ..kernels.response import ENERGY_EDGES
from ..kernels.xray_model import SourceModel
from .labels import with_error
from .livespectrum import Curve

_TOLD = 2  # parameters that the label names


class LiveFit:
    """Keeps the last row that was fitted; may be read from any thread.

    Parameters
    ----------
    model : SourceModel
    table : PlasmaTable
    """

    def __init__(self, model: SourceModel, table: PlasmaTable) -> None:
        self._model, self._table = model, table
        self._last: dict[str, Any] | None = None
        self._guard = threading.Lock()

    def add(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Take the last row with a fit."""
        status = rows["status"].to_numpy()
        known = np.flatnonzero(status & int(FitStatus.NO_DATA) == 0)
        if not known.size:
            return
        names = ["group", "redshift", *self._model.names]
        names += [f"{name}_err" for name in self._model.names]
        row = rows.slice(int(known[-1]), 1).select(names).to_pylist()[0]
        with self._guard:
            self._last = row

    def pictures(self) -> tuple[Curve, ...]:
        """Give the model of the last fit; none before the first."""
        with self._guard:
            row = self._last
        if row is None:
            return ()
        values = np.array([row[name] for name in self._model.names])
        photons = self._model.photons(self._table, values, row["redshift"])
        flux = flux_density(self._table.edges, photons, ENERGY_EDGES)
        told = [
            f"{one.name} {with_error(row[one.name], row[f'{one.name}_err'])} {one.unit}".rstrip()
            for one in self._model.parameters[:_TOLD]
        ]
        log_flux = np.log(np.maximum(flux, np.finfo(np.float64).tiny))
        label = ", ".join([row["group"], *told])
        return (Curve(ENERGY_EDGES, log_flux, np.zeros(log_flux.size), label),)
