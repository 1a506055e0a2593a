"""Kernels compiled from other sources are forgotten.

numba keeps what it compiled beside a function's source, and compiles again when that file has
changed, but not when one that the function calls has: after an edit or a checkout its callers would
silently go on with the old code. So what was compiled goes when its file, or any that this imports
from the folder, is another.
"""

import hashlib
import json
import os
import re
from pathlib import Path

_MARK = "sources.json"  # digests of what everything compiled in the folder was made from
_IMPORT = re.compile(rb"^from \.(\w*) import (\([^)]*\)|.*)", re.MULTILINE)


def forget_stale(folder: Path) -> None:
    """Delete the compiled kernels of a folder that are not of its sources as they are.

    Where nothing can be written, as in a system's own folders, nothing is deleted: what is
    installed there changes as a whole, and numba keeps its files elsewhere.

    Parameters
    ----------
    folder : Path
        Of the sources.
    """
    cache, digests = folder / "__pycache__", _digests(folder)
    mark = cache / _MARK
    known = json.loads(mark.read_bytes()) if mark.exists() else {}
    if known == digests:
        return
    try:
        for path in cache.glob("*.nb[ic]"):
            module = path.name.partition(".")[0]
            if module not in digests or known.get(module) != digests[module]:
                path.unlink(missing_ok=True)
        cache.mkdir(exist_ok=True)
        draft = mark.with_suffix(f".{os.getpid()}")  # others may be reading
        draft.write_text(json.dumps(digests))
        draft.replace(mark)
    except OSError:
        return


def _digests(folder: Path) -> dict[str, str]:
    """Digest of each module's source and of all that it imports from the folder, by its name."""
    sources = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.py"))}
    imports = {module: _imported(source, sources) for module, source in sources.items()}
    digests = {}
    for module in sources:
        reached, found = {module}, [module]
        while found:
            new = imports[found.pop()] - reached
            reached |= new
            found += new
        whole = hashlib.sha256(b"\0".join(sources[name] for name in sorted(reached)))
        digests[module] = whole.hexdigest()
    return digests


def _imported(source: bytes, sources: dict[str, bytes]) -> set[str]:
    """Modules of the folder that a source imports."""
    names = set()
    for module, what in _IMPORT.findall(source):
        names |= {module.decode()} if module else set(re.findall(r"\w+", what.decode()))
    return names & set(sources)
