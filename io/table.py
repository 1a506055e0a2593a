"""The table on disk, read back: which batches its parts hold, and their rows in order.

Every part is checked against its digest as it is read, whoever reads it. How parts are written, and
why they can be trusted, is `parts.py`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import RunError

BATCHES, DIGEST = "streamfit.batches", "streamfit.blake2b"
"""Keys of a part's footer."""

DIGEST_BYTES = 32


def ledger(
    folder: Path, visit: Callable[[Path, pq.ParquetFile, int], None] | None = None
) -> dict[str, str]:
    """Name every batch that a sealed part holds, and the part; the parts are checked.

    Parameters
    ----------
    folder : Path
        ``RUN/fit``.
    visit : callable, optional
        Given the path of each part, the part, and how many batches it holds.

    Raises
    ------
    RunError
        If a part is damaged, or holds a batch that another part holds.
    """
    owner: dict[str, str] = {}
    for path in part_files(folder):
        part, keys = _open_part(path)
        for key in keys:
            if key in owner:
                raise RunError(
                    f"{path}: holds batch {key}, and so does {owner[key]}; "
                    "delete one of them and resume the run"
                )
            owner[key] = path.name
        if visit is not None:
            visit(path, part, len(keys))
    return owner


def row_groups(folder: Path) -> dict[tuple[int, int], tuple[Path, int]]:
    """Say where each batch lies: its first and last row of the plan to part and row group.

    Raises
    ------
    RunError
        If a part is damaged.
    """
    found: dict[tuple[int, int], tuple[Path, int]] = {}
    for path in part_files(folder):
        for group, key in enumerate(_open_part(path)[1]):
            start, _, stop = key.partition(":")
            found[int(start), int(stop)] = path, group
    return found


def batches(folder: Path) -> Iterator[tuple[str, pa.Table]]:
    """Give every batch of a table and its name, part by part; parts are checked as they are read.

    Raises
    ------
    RunError
        If a part is damaged.
    """
    for path in part_files(folder):
        part, keys = _open_part(path)
        metadata = {
            name: text
            for name, text in (part.schema_arrow.metadata or {}).items()
            if name.decode() not in (BATCHES, DIGEST)
        }
        for group, key in enumerate(keys):
            rows = part.read_row_group(group, use_threads=False)
            yield key, rows.replace_schema_metadata(metadata)


def read_table(folder: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a table, its batches in the order of the source's plan.

    The same batches give the same bytes, whichever parts they lie in.

    Parameters
    ----------
    folder : Path
        ``RUN/fit``.
    columns : list of str, optional
        Only these.

    Raises
    ------
    RunError
        If there is no part, or one is damaged.
    """
    found = []
    for key, table in batches(folder):
        found.append((int(key.partition(":")[0]), table.select(columns) if columns else table))
    if not found:
        raise RunError(f"{folder}: no part is sealed yet; wait, or resume the run")
    return pa.concat_tables([table for _, table in sorted(found, key=lambda pair: pair[0])])


def part_files(folder: Path) -> list[Path]:
    """Sealed parts, in the order in which they were sealed."""
    return sorted(folder.glob("part-[0-9][0-9][0-9][0-9][0-9][0-9].parquet"))


def _open_part(path: Path) -> tuple[pq.ParquetFile, list[str]]:
    """Open a part and its list of batches once its content agrees with its digest."""
    damaged = (
        f"{path}: the part is damaged ({{}}); delete it and resume the run: "
        "only its batches are fitted again"
    )
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise RunError(
            f"{path}: cannot be read ({error.strerror}); mend that and resume"
        ) from error
    try:
        part = pq.ParquetFile(pa.BufferReader(pa.py_buffer(content)))
        footer = part.metadata.metadata or {}
        keys = json.loads(footer[BATCHES.encode()])
        stored = footer[DIGEST.encode()]
        at = find_digest(content, stored)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise RunError(damaged.format(f"{len(content)} bytes, no readable footer")) from error
    if file_digest(content[:at], content[at + len(stored) :]) != stored:
        raise RunError(damaged.format("its content does not agree with its digest"))
    return part, keys


def find_digest(content: memoryview, digest: bytes) -> int:
    """Where the footer holds the digest."""
    footer = 8 + int.from_bytes(content[-8:-4], "little")
    tail = max(0, len(content) - footer)
    return tail + bytes(content[tail:]).rindex(digest)


def file_digest(before: memoryview, after: memoryview) -> bytes:
    """BLAKE2b of a part without its digest, in hexadecimal."""
    state = hashlib.blake2b(before, digest_size=DIGEST_BYTES)
    state.update(after)
    return state.hexdigest().encode()
