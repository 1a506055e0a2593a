"""The cubes that `bench stream` fits: simulated once, found again afterwards.

Each is a contiguous SITELLE cube of level 2, SN3, 842 channels, whose field spans all angles
whatever its number of spaxels, so that line widths spread alike at every size. Up to `_TILE`
spectra are simulated and tiled over it, SNR log-uniform from 3 to 100.
"""

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from math import isqrt
from pathlib import Path

from ..io.errors import InputError
from ..io.source import open_cube
from .cube_plan import CubePlan
from .simulate_cube import simulate

_CHANNELS = 842
_TILE = 8192  # different spectra in a cube
_NARROWEST = 0.5  # of a field's sides


def field_shape(spectra: int) -> tuple[int, int]:
    """Sides of the field of so many spaxels that is next to a square.

    Raises
    ------
    InputError
        If it is narrower than one by two.
    """
    nx = next(side for side in range(isqrt(spectra), 0, -1) if spectra % side == 0)
    if nx < _NARROWEST * spectra / nx:
        raise InputError(
            f"bench stream: {spectra} spectra make a field of {nx} x {spectra // nx}; give a size "
            "such as 2^16 or 4227072 with two factors that are alike"
        )
    return nx, spectra // nx


def ready_cube(folder: Path, spectra: int, tell: Callable[[str], None]) -> Path:
    """Simulate a cube, or find the one that stands.

    Parameters
    ----------
    folder : Path
    spectra : int
    tell : callable
        Is given a line before a cube is simulated.

    Raises
    ------
    InputError
        If the size makes no field, a file of that name is another cube, or the disk has no room.
    """
    nx, ny = field_shape(spectra)
    path = folder / f"sn3-{nx}x{ny}.hdf5"
    if path.exists():
        with closing(open_cube(path)) as reader:
            found = reader.header.shape
        if found != (nx, ny):
            raise InputError(
                f"{path}: has {found[0]} x {found[1]} spaxels, not {nx} x {ny}; delete it or give "
                "another --folder"
            )
        return path
    need, free = 4 * _CHANNELS * spectra, shutil.disk_usage(folder).free
    if need > 0.9 * free:
        raise InputError(
            f"{path}: takes {need / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; free some, or "
            "give smaller --sizes or another --folder"
        )
    tell(f"{path.name}: simulating {spectra} spectra, {need / 1e9:.2f} GB")
    plan = CubePlan(path.with_suffix(".partial"), shape=(nx, ny), tile=min(_TILE, spectra))
    truth = simulate(plan)
    truth.replace(replace(plan, path=path).truth_path)
    plan.path.replace(path)
    return path
