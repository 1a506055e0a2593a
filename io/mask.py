"""Which spaxels to fit: a FITS mask, or DS9 regions.

A FITS mask is an image on the cube's pixels, of which the ones that are neither zero nor NaN are
kept. Of DS9 regions a spaxel is kept whose centre lies inside any of them and outside all that are
marked excluded (``-circle(...)``); of a point the spaxel it lies in. Celestial regions need the WCS
of the cube.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .records import CubeHeader

_FITS_SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz")


def read_mask(path: str | Path, cube: CubeHeader) -> NDArray[np.bool_]:
    """Read which spaxels to keep.

    Parameters
    ----------
    path : str or Path
        FITS image or DS9 region file.
    cube : CubeHeader
        Of the cube, unbinned: its shape and celestial WCS.

    Returns
    -------
    ndarray of bool, shape (x, y)
        True for the spaxels to keep.

    Raises
    ------
    InputError
        If the file is missing or neither, does not fit the cube, or keeps nothing.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; --mask takes a FITS image or a DS9 region file")
    is_fits = path.name.lower().endswith(_FITS_SUFFIXES)
    keep = _from_fits(path, cube) if is_fits else _from_regions(path, cube)
    if not keep.any():
        raise InputError(
            f"{path.name}: keeps none of the {cube.shape[0]} x {cube.shape[1]} spaxels; nonzero "
            "pixels, or what lies inside regions, are fitted"
        )
    return keep


def _from_fits(path: Path, cube: CubeHeader) -> NDArray[np.bool_]:
    """Read the first image of a FITS file."""
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as hdus:
            data = [getattr(hdu, "data", None) for hdu in hdus if getattr(hdu, "is_image", False)]
            images = [np.squeeze(image) for image in data if image is not None]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path.name}: cannot be read as FITS ({_first_line(error)}); write the mask again"
        ) from None
    if not images:
        raise InputError(f"{path.name}: holds no image; give a FITS image of the cube's pixels")
    nx, ny = cube.shape
    image = images[0].reshape(ny, nx) if images[0].size == nx * ny == 1 else images[0]
    if image.shape != (ny, nx):
        shape = " x ".join(str(side) for side in image.shape[::-1])
        raise InputError(
            f"{path.name}: the mask has {shape} pixels, {cube.name} has {nx} x {ny} spaxels; make "
            "the mask on the cube's own pixels"
        )
    return np.ascontiguousarray((np.isfinite(image) & (image != 0)).T)


def _from_regions(path: Path, cube: CubeHeader) -> NDArray[np.bool_]:
    """Draw the regions of a DS9 file."""
    from astropy.io import fits
    from astropy.wcs import WCS

    wcs = WCS(fits.Header(cube.celestial), naxis=2) if cube.celestial else None
    keep = np.zeros(cube.shape, dtype=bool)
    drop = np.zeros(cube.shape, dtype=bool)
    found = _read_regions(path)
    for region in found:
        if hasattr(region, "to_pixel"):
            if wcs is None:
                raise InputError(
                    f"{path.name}: has celestial regions but {cube.name} has no celestial WCS; "
                    "save them in image coordinates"
                )
            region = region.to_pixel(wcs)
        target = keep if region.meta.get("include", 1) else drop
        target |= _inside(region, cube.shape)
    if not any(region.meta.get("include", 1) for region in found):
        keep[...] = True
    return keep & ~drop


def _read_regions(path: Path) -> list[Any]:
    """Read a DS9 file; a line that cannot be understood is an error, not less to fit."""
    import regions

    cure = "save the regions from DS9 in image or fk5 coordinates"
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = list(regions.Regions.read(str(path), format="ds9"))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path.name}: neither a FITS image nor DS9 regions ({_first_line(error)}); {cure}"
        ) from None
    if said:
        raise InputError(f"{path.name}: {_first_line(said[0].message)}; {cure}")
    if not found:
        raise InputError(f"{path.name}: holds 0 regions; {cure}")
    return found


def _inside(region: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which spaxel centres lie inside a pixel region; lines and texts enclose none."""
    import regions

    inside = np.zeros(shape, dtype=bool)
    if isinstance(region, regions.TextPixelRegion | regions.LinePixelRegion):
        return inside
    if isinstance(region, regions.PointPixelRegion):
        x, y = (round(float(getattr(region.center, axis))) for axis in "xy")
        if 0 <= x < shape[0] and 0 <= y < shape[1]:
            inside[x, y] = True
        return inside
    image = region.to_mask(mode="center").to_image(shape[::-1])
    return inside if image is None else np.asarray(image).T > 0


def _first_line(error: Exception | Warning | str) -> str:
    """First line of a message, not too long."""
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:120].rstrip(".")
