"""The table of a run, read a few columns at a time: memory follows one column, not the table.

The parts are checked once, when the table is opened; what is sealed later is not seen.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..io.errors import RunError
from ..io.manifest import RunManifest
from ..io.products import MapGrid
from ..io.results import FitStatus
from ..io.table import ledger
from .directory import RunDirectory
from .values import region

UNTRUSTED = int(FitStatus.NO_DATA | FitStatus.NO_SIGNAL | FitStatus.SINGULAR)
"""Rows with any of these bits do not measure: pictures take no limits from them."""


class RunTable:
    """What a run has fitted so far.

    Parameters
    ----------
    run : Path
        The run directory.

    Attributes
    ----------
    manifest : RunManifest
    schema : pyarrow.Schema
    rows : int
        Spaxels fitted.

    Raises
    ------
    InputError
        If `run` is not a run.
    RunError
        If no part is sealed yet, or one is damaged.
    """

    def __init__(self, run: Path) -> None:
        directory = RunDirectory(run)
        directory.require()
        self.path = run
        self.manifest = RunManifest.read(directory.manifest)
        self._parts: list[Path] = []
        self.rows = 0
        schema: pa.Schema | None = None

        def take(path: Path, part: pq.ParquetFile, _batches: int) -> None:
            nonlocal schema
            schema = part.schema_arrow
            self._parts.append(path)
            self.rows += part.metadata.num_rows

        folder = directory.table(self.manifest.stage)
        ledger(folder, take)
        if schema is None:
            raise RunError(f"{folder}: no part is sealed yet; wait, or resume the run")
        self.schema = schema

    @cached_property
    def grid(self) -> MapGrid:
        """Pixels of the run's maps."""
        return _grid(self.manifest.header)

    @property
    def names(self) -> list[str]:
        """Columns that hold one number a row, in the order of the table."""
        return [field.name for field in self.schema if pa.types.is_primitive(field.type)]

    def told(self, name: str, key: str) -> str:
        """Give what a column's declaration says: "unit", "description" or "ucd"; "" if nothing."""
        return (self.schema.field(name).metadata or {}).get(key.encode(), b"").decode()

    def chunks(self, names: Sequence[str]) -> Iterator[dict[str, NDArray[Any]]]:
        """Give columns part by part, the rows always in the same order."""
        wanted = list(dict.fromkeys(names))
        for path in self._parts:
            with pq.ParquetFile(path, pre_buffer=False) as part:
                rows = part.read(columns=wanted, use_threads=False)
            yield {name: _as_array(rows[name]) for name in wanted}

    def places(self) -> NDArray[np.int32]:
        """Give the place of every row in the raveled map, shape (spaxel,)."""
        chunks = self.chunks(["x", "y"])
        found = [self.grid.index(chunk["x"], chunk["y"]).astype(np.int32) for chunk in chunks]
        return np.concatenate(found)

    def row(self, x: int, y: int) -> dict[str, Any] | None:
        """Find the row of a spaxel; None where it has not been fitted."""
        for path in self._parts:
            with pq.ParquetFile(path, pre_buffer=False) as part:
                place = part.read(columns=["x", "y"], use_threads=False)
                here = (_as_array(place["x"]) == x) & (_as_array(place["y"]) == y)
                if here.any():
                    rows = part.read(use_threads=False)
                    return rows.slice(int(np.argmax(here)), 1).to_pylist()[0]
        return None


def _as_array(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_fixed_size_list(column.type):
        flat = pa.chunked_array([chunk.flatten() for chunk in column.chunks])
        return flat.to_numpy().reshape(len(column), column.type.list_size)
    return column.combine_chunks().to_numpy(zero_copy_only=False)


def _grid(header: dict[str, Any]) -> MapGrid:
    """Cut the map to the area of the run; the rows count from the cube's corner."""
    area = region(header["area"])
    return MapGrid(area.shape, (area.x0, area.y0), header["celestial"])
