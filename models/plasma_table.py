"""Opens the tables of plasma emission and absorption that are shipped."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from ..kernels.plasma import PlasmaTable
from .card import load_card

TABLES = Path(__file__).with_name("tables")
PLASMA = TABLES / "plasma.npz"


@lru_cache(maxsize=2)
def load_plasma(path: Path = PLASMA) -> PlasmaTable:
    """Open a table that `tools/build_plasma.py` has written.

    Parameters
    ----------
    path : Path
        With its card beside it.

    Returns
    -------
    PlasmaTable
        The same object each time.

    Raises
    ------
    CardError
        If the file is missing or is not the one its card describes.
    """
    load_card(path)
    with np.load(path) as held:
        return PlasmaTable(*(held[name].astype(np.float64) for name in PlasmaTable.__slots__))
