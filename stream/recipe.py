"""What the engine asks of a science: the seam between the stream and the physics.

A *stage* is a source, a recipe and a sink. The engine knows of a batch only its key, its length and
its size in memory; a recipe turns a batch into rows and never raises for a bad spectrum.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa

from ..io.records import BatchKey


class Batch(Protocol):
    """What the engine sees of a batch."""

    @property
    def key(self) -> BatchKey:
        """Which spaxels these are."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory held [bytes]."""
        ...

    def __len__(self) -> int:
        """Rows this batch will give."""
        ...


class Source(Protocol):
    """A file cut into batches; `read` is called from one producer thread."""

    @property
    def name(self) -> str:
        """File name, as errors name it."""
        ...

    @property
    def spaxel_nbytes(self) -> int:
        """Memory one spaxel takes in a batch [bytes]."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Identity of the input: size, header digest, digests of the first and last data block."""
        ...

    def keys(self) -> Sequence[BatchKey]:
        """All batches, in the order in which the file is read best."""
        ...

    def read(self, key: BatchKey) -> Any:
        """Read one batch into memory."""
        ...


class Recipe(Protocol):
    """Turns a batch into rows."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of the rows, with unit and description."""
        ...

    @property
    def spaxel_work_nbytes(self) -> int:
        """Memory the fit of one spaxel takes beside its batch, its rows included [bytes]."""
        ...

    def prepare(self) -> None:
        """Compile and load whatever the first batch would otherwise wait for."""
        ...

    def fit(self, batch: Any) -> pa.RecordBatch:
        """Give the rows of one batch, in its order; called from several threads at once."""
        ...
