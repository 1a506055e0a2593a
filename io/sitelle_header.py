"""The metadata of a SITELLE cube: root attributes and level-1 header rows, by one set of names.

Newer cubes (levels 2, 2.5, 3) carry root attributes; level 1 carries a dataset `header` of rows
(keyword, value, comment, type). Both say the same under different names; attributes win.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import InputError

NM_LASER = 543.5  # calibration laser of SITELLE [nm]

# Filter bands [nm], from the filters' half-maximum points as tabulated by CFHT and used by LUCI.
FILTER_BANDS_NM = {
    "SN1": (362.6, 385.6),
    "SN2": (479.8, 513.2),
    "SN3": (647.7, 685.0),
    "SN4": (652.5, 664.0),
    "C1": (385.4, 485.2),
    "C2": (559.3, 625.5),
    "C3": (511.0, 555.4),
    "C4": (798.5, 823.4),
}

# Attribute of levels 2 and 3, keyword of level 1.
_KEYWORDS = {
    "step": "STEP",
    "order": "ORDER",
    "step_nb": "STEPNB",
    "zpd_index": "ZPDINDEX",
    "axis_corr": "AXISCORR",
    "nm_laser": "CALIBNM",
    "exposure_time": "EXPTIME",
    "flambda": "FLAMBDA",
    "apodization": "APODIZ",
    "wavenumber_calibration": "WAVCALIB",
    "wavetype": "WAVTYPE",
    "filter_name": "FILTER",
    "object_name": "OBJECT",
}


@dataclass(frozen=True)
class Metadata:
    """What a file says of itself, by the attribute names of levels 2 and 3.

    Parameters
    ----------
    file : str
        Name, for messages.
    values : dict
        Python values; arrays for vectors.
    """

    file: str
    values: dict[str, Any]

    def __contains__(self, name: str) -> bool:
        """Tell whether the file says anything under this name."""
        return self._find(name) is not None

    def _find(self, name: str) -> Any:
        value = self.values.get(name)
        return self.values.get(_KEYWORDS.get(name, name)) if value is None else value

    def text(self, name: str) -> str:
        """Give a string, "" if the file has none."""
        value = self._find(name)
        return "" if value is None else str(value).strip()

    def flag(self, name: str) -> bool:
        """Tell whether an attribute is there and true."""
        value = self._find(name)
        if isinstance(value, str):
            return value.strip().lower() in ("true", "t", "1")
        return value is not None and bool(np.all(value))

    def number(self, name: str, default: float | None = None) -> float:
        """Give a finite number.

        Raises
        ------
        InputError
            If it is missing and there is no default, or is not a number.
        """
        value = self._find(name)
        if value is None:
            if default is None:
                raise InputError(
                    f"{self.file}: attribute {name} (level 1: {_KEYWORDS.get(name, name)}) is "
                    f'missing; set it, e.g. h5py.File(path, "a").attrs["{name}"] = ...'
                )
            return default
        try:
            found = float(np.asarray(value).reshape(()))
        except (TypeError, ValueError):
            found = np.nan
        if not np.isfinite(found):
            raise InputError(
                f"{self.file}: attribute {name} is {value!r}, not a number; correct it in the file"
            )
        return found

    def vector(self, name: str) -> NDArray[np.float64]:
        """Give one number or several, shape () or (n,).

        Raises
        ------
        InputError
            If it is missing or not numbers.
        """
        value = self._find(name)
        try:
            return np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(
                f"{self.file}: attribute {name} is {value!r}, not numbers; correct it in the file"
            ) from None

    def whole(self, name: str) -> int:
        """Give a whole number.

        Raises
        ------
        InputError
            If it is missing or not a whole number.
        """
        found = self.number(name)
        if found != int(found):
            raise InputError(
                f"{self.file}: attribute {name} is {found:g}, not a whole number; "
                "correct it in the file"
            )
        return int(found)


def read_metadata(file: h5py.File, name: str) -> Metadata:
    """Collect root attributes and level-1 header rows; attributes win."""
    header = file.get("header")
    values = _header_rows(header) if isinstance(header, h5py.Dataset) else {}
    for key in file.attrs:
        try:
            values[key] = _plain(file.attrs[key])
        except (OSError, TypeError, ValueError):  # a type h5py cannot read says nothing to us
            continue
    return Metadata(name, values)


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and bytes into Python values; arrays of one element stay arrays."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if isinstance(value, np.generic) and value.dtype != np.longdouble else value


def _header_rows(dataset: h5py.Dataset) -> dict[str, Any]:
    """Read the rows (keyword, value, comment, type name) of a level-1 header."""
    if dataset.ndim != 2 or dataset.shape[1] < 2:
        return {}
    values: dict[str, Any] = {}
    for row in dataset[()]:
        cells = [
            cell.decode(errors="replace").strip() if isinstance(cell, bytes) else str(cell)
            for cell in row
        ]
        kind = cells[3].lower() if len(cells) > 3 else ""
        if cells[0] and "comment" not in kind and cells[0] != "COMMENT":
            values[cells[0]] = _typed(cells[1], kind)
    return values


def _typed(text: str, kind: str) -> Any:
    """Read a header value; the type name decides between a number and digits in a string."""
    if "str" in kind:
        return text
    if "bool" in kind or text in ("True", "False"):
        return text in ("True", "T", "1")
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def level_of(metadata: Metadata, *, is_complex: bool) -> float:
    """Tell the reduction level: 1, 2, 2.5 or 3.

    Level 3 is complex counts; 2.5 is complex and calibrated already (``flambda2``).
    """
    if metadata.flag("level3"):
        return 2.5 if "flambda2" in metadata else 3
    if metadata.flag("level2"):
        return 3 if "flambda" in metadata and is_complex else 2
    return 1


def apodization_of(metadata: Metadata) -> float:
    """Give the apodization coefficient, 1 for none."""
    if metadata.text("apodization").lower() in ("", "none", "false"):
        return 1.0
    return metadata.number("apodization")


def filter_of(metadata: Metadata) -> str:
    """Give the filter's short name; some cubes name the path of a transmission curve."""
    name = metadata.text("filter_name").replace("\\", "/").rsplit("/", 1)[-1]
    known = re.search(r"(?:^|[^A-Za-z0-9])(SN[1-4]|C[1-4])(?![A-Za-z0-9])", name.replace("_", " "))
    return known[1] if known else name.removesuffix(".hdf5")


def band_of(metadata: Metadata, filter_name: str) -> tuple[tuple[float, float] | None, str]:
    """Find where light passes the filter.

    Returns
    -------
    band : (low, high) or None
        [cm-1].
    note : str
        What had to be assumed.
    """
    for low, high, scale in (
        ("filter_cm1_min", "filter_cm1_max", 1.0),
        ("filter_nm_max", "filter_nm_min", 1e7),
    ):
        if low in metadata and high in metadata:
            ends = metadata.number(low), metadata.number(high)
            if min(ends) <= 0:
                raise InputError(
                    f"{metadata.file}: {low} and {high} are {ends[0]:g} and {ends[1]:g}; a filter "
                    "passes at positive values, correct them in the file"
                )
            band = sorted(ends) if scale == 1.0 else sorted(scale / end for end in ends)
            return (band[0], band[1]), ""
    if filter_name in FILTER_BANDS_NM:
        blue, red = FILTER_BANDS_NM[filter_name]
        return (1e7 / red, 1e7 / blue), f"band of {filter_name} from the table of SITELLE filters"
    found = f"filter {filter_name!r} is not a known one" if filter_name else "no filter is named"
    return None, f"{found}: the whole axis is taken as in band"


def canonical(values: Mapping[str, Any]) -> dict[str, Any]:
    """Write metadata so that equal values give equal text, whole arrays included."""
    return {
        str(key): value.tolist() if isinstance(value, np.ndarray) else repr(value)
        for key, value in values.items()
    }
