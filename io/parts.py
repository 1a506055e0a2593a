"""Parquet parts: the table on disk and, at once, the ledger of what is done.

A part holds some batches, one row group each. It is built in memory, written as ``.tmp``, synced,
renamed, and the folder synced: a file named ``part-*.parquet`` is whole or it is not there. Its
footer names its batches ("0:4096", in the order of its row groups) and carries a BLAKE2b digest of
all the rest of the file. So nothing can disagree with the data, and whatever is changed or cut off
later is found. Reading them back is `table.py`.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .disk import publish, refused
from .errors import RunError
from .records import BatchKey
from .table import BATCHES, DIGEST, DIGEST_BYTES, file_digest, find_digest, ledger, part_files

_BLANK = b"0" * (2 * DIGEST_BYTES)


def ledger_key(key: BatchKey) -> str:
    """Name a batch as the footers do; the source's name may change, its plan may not."""
    return f"{key.start}:{key.stop}"


class PartSink:
    """Takes rows batch by batch and seals them into parts.

    Opening deletes what an earlier process left unsealed.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    schema : pyarrow.Schema
        Of every batch.
    batches_per_part : int
        A part is sealed when it holds so many batches,
    seconds_per_part : float
        or, with the next batch, when its first batch has waited so long [s].

    Raises
    ------
    StorageError
        If the disk refuses.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        *,
        batches_per_part: int = 16,
        seconds_per_part: float = 30.0,
    ) -> None:
        self.folder, self.schema = folder, schema
        self.batches_per_part, self.seconds_per_part = batches_per_part, seconds_per_part
        self._keys: list[str] = []
        self._opened_at = 0.0
        self._buffer: pa.BufferOutputStream | None = None
        self._writer: pq.ParquetWriter | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob("part-*.parquet.tmp"):
                left.unlink()
        except OSError as error:
            raise refused(folder, error) from error
        self._next = 1 + max((int(path.name[5:11]) for path in part_files(folder)), default=-1)

    def done(self, visit: Callable[[pa.Table, int], None] | None = None) -> set[str]:
        """Names of the batches that sealed parts hold; every part is checked against its digest.

        Parameters
        ----------
        visit : callable, optional
            Given the rows of each part in turn, and how many batches they are.

        Raises
        ------
        RunError
            If a part is damaged, has other columns, or holds a batch that another part holds.
        """

        def check(path: Path, part: pq.ParquetFile, batches: int) -> None:
            if not part.schema_arrow.equals(self.schema):
                raise RunError(
                    f"{path}: its {len(part.schema_arrow)} columns are not the "
                    f"{len(self.schema)} of this run; start again with --overwrite"
                )
            if visit is not None:
                visit(part.read(use_threads=False), batches)

        return set(ledger(self.folder, check))

    def write(self, key: BatchKey, rows: pa.RecordBatch) -> bool:
        """Add one batch; seal the part when it is full or old enough.

        Returns
        -------
        bool
            True if a part was sealed.

        Raises
        ------
        ValueError
            If the rows are not one per spaxel of the batch, or have other columns.
        StorageError
            If the disk refuses; the parts sealed before are safe.
        """
        if rows.num_rows != len(key):
            raise ValueError(f"{key}: {rows.num_rows} rows for {len(key)} spaxels")
        writer = self._writer
        if writer is None:
            self._buffer = pa.BufferOutputStream()
            # Dictionaries of float columns cost five times the speed and save nothing.
            writer = self._writer = pq.ParquetWriter(
                self._buffer, self.schema, compression="lz4", use_dictionary=False
            )
            self._opened_at = time.monotonic()
        writer.write_batch(rows, row_group_size=len(key))
        self._keys.append(ledger_key(key))
        old = time.monotonic() - self._opened_at >= self.seconds_per_part
        if len(self._keys) < self.batches_per_part and not old:
            return False
        self.seal()
        return True

    def seal(self) -> None:
        """Put the open part on disk under its name; nothing happens if there is none.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        if self._writer is None or self._buffer is None:
            return
        self._writer.add_key_value_metadata(
            {BATCHES: json.dumps(self._keys), DIGEST: _BLANK.decode()}
        )
        self._writer.close()
        content = memoryview(self._buffer.getvalue())
        self._writer = self._buffer = None
        self._keys = []
        at = find_digest(content, _BLANK)
        pieces = content[:at], content[at + len(_BLANK) :]
        path = self.folder / f"part-{self._next:06d}.parquet"
        publish(path, pieces[0], file_digest(*pieces), pieces[1])
        self._next += 1

    close = seal
