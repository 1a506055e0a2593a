"""The identity of an input: what `resume` compares before it goes on.

Size, a digest of the header, and digests of the first and the last block of data. Reading all of a
cube to be sure would cost as long as fitting it; these four catch a file that was replaced, written
again or cut, and leave alone one that was merely copied or touched.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BLOCK_NBYTES = 1 << 20


def digest(content: bytes) -> str:
    """Give the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def identity(
    path: Path, *, header: Mapping[str, Any] | str | bytes, first: bytes, last: bytes
) -> dict[str, Any]:
    """Describe a file so that a later run can tell whether it is still the same.

    Parameters
    ----------
    path : Path
        The file.
    header : mapping, str or bytes
        All that gives the data their meaning; mappings are written in the order of their keys.
    first, last : bytes
        The first and the last block of data as stored, a MiB is enough.

    Returns
    -------
    dict
        ``size`` [bytes], ``header``, ``first_block`` and ``last_block`` [SHA-256].
    """
    if isinstance(header, Mapping):
        header = json.dumps(header, sort_keys=True, default=repr)
    if isinstance(header, str):
        header = header.encode()
    return {
        "size": path.stat().st_size,
        "header": digest(header),
        "first_block": digest(first),
        "last_block": digest(last),
    }
