"""Region, mask and bins of a run, held against the cube they are meant for."""

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .records import Area, CubeHeader
from .tiling import overlap


def check_selection(
    cube: CubeHeader, region: Area | None, mask: NDArray[np.bool_] | None, side: int
) -> None:
    """Refuse a region, mask or bin that does not fit the cube.

    Parameters
    ----------
    cube : CubeHeader
    region : Area or None
    mask : ndarray of bool, shape (x, y), or None
    side : int
        Spaxels along a side of a bin.

    Raises
    ------
    InputError
        Naming what does not fit.
    """
    nx, ny = cube.shape
    if side < 1:
        raise InputError(
            f"{cube.name}: --bin {side} is not a positive number of spaxels; use 1 or more"
        )
    if region is not None and (region.x1 > nx or region.y1 > ny):
        raise InputError(
            f"{cube.name}: --region {region} reaches outside the {nx} x {ny} spaxels of the cube; "
            f"use 0:{nx},0:{ny} or less"
        )
    if region is not None:
        for edge, end in ((region.x0, nx), (region.x1, nx), (region.y0, ny), (region.y1, ny)):
            if edge % side and edge != end:
                raise InputError(
                    f"{cube.name}: --region {region} cuts a bin at {edge}, which is neither a "
                    f"multiple of --bin {side} nor the cube's edge; use {edge // side * side}"
                )
    if mask is not None and mask.shape != cube.shape:
        raise InputError(
            f"{cube.name}: the mask has {mask.shape[0]} x {mask.shape[1]} spaxels, the cube "
            f"{nx} x {ny}; make the mask on the cube's own pixels"
        )


def kept_bounds(mask: NDArray[np.bool_] | None, region: Area, side: int, cube: CubeHeader) -> Area:
    """Give the part of the region that the mask does not empty, in whole bins.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y), or None
    region : Area
    side : int
        Spaxels along a side of a bin.
    cube : CubeHeader
        For the message.

    Raises
    ------
    InputError
        If nothing is left.
    """
    if mask is None:
        return region
    inside = mask[region.x0 : region.x1, region.y0 : region.y1]
    x, y = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if x.size == 0:
        raise InputError(
            f"{cube.name}: the mask keeps none of the {inside.size} spaxels of {region}; "
            "nonzero pixels are the ones to fit"
        )
    x0, y0 = region.x0 + int(x[0]), region.y0 + int(y[0])
    kept = Area(
        x0 // side * side,
        -(-(region.x0 + int(x[-1]) + 1) // side) * side,
        y0 // side * side,
        -(-(region.y0 + int(y[-1]) + 1) // side) * side,
    )
    shared = overlap(kept, region)
    assert shared is not None
    return shared
