"""Small SITELLE files of every documented layout, written without any code of the package."""

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

STEP, ORDER, CORR, LASER = 2943.025792, 8, 1.0374712, 543.5

STORAGE = {
    "contiguous": {},
    "chunked": {"chunks": (3, 4, 7)},
    "gzip": {"chunks": (3, 4, 7), "compression": "gzip"},
    "lzf": {"chunks": (3, 4, 7), "compression": "lzf"},
    "shuffled": {"chunks": (3, 4, 7), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "blosc": {"chunks": (3, 4, 7), **hdf5plugin.Blosc(cname="lz4")},
    "planes": {"chunks": (11, 13, 1), "compression": "gzip"},
}
LEVELS = (1, 2, 2.5, 3)


def random_cube(shape=(11, 13, 30), dtype="f4", seed=1):
    """Numbers of any kind: (x, y, channel)."""
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=100, size=shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.normal(scale=100, size=shape)
    elif np.dtype(dtype).kind == "u":
        values = np.abs(values)
    return values.astype(dtype)


def attributes(channels, **changes):
    """Root attributes; None removes one."""
    values = {
        "step": STEP,
        "order": ORDER,
        "step_nb": channels,
        "zpd_index": channels // 5,
        "axis_corr": CORR,
        "nm_laser": LASER,
        "filter_name": "SN3",
        "exposure_time": 13.7,
        "wavenumber_calibration": True,
        "object_name": "M1",
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def write(path: Path, data, level=2, storage="contiguous", datasets=None, **changes) -> Path:
    """Write a cube of a level; `changes` are attributes to add, replace or remove (None)."""
    if level == 1:
        return write_quadrants(path, data, storage, datasets, **changes)
    marks = {2: {"level2": True}, 2.5: {"level3": True, "flambda2": 1.0}, 3: {"level3": True}}
    if level == 3:
        marks[3]["flambda"] = 2.0e-16
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=data, **STORAGE[storage])
        file.attrs.update(attributes(data.shape[-1], **{**marks[level], **changes}))
        for name, values in (datasets or {}).items():
            file[name] = values
    return path


def write_quadrants(path: Path, data, storage="contiguous", datasets=None, **changes) -> Path:
    """Write a level-1 cube: nine groups, and the header as rows of byte strings."""
    nx, ny, channels = data.shape
    edges = [[0, length // 3, 2 * (length // 3), length] for length in (nx, ny)]
    options = dict(STORAGE[storage])
    if "chunks" in options:
        options["chunks"] = (2, 3, 7)
    keywords = {
        "STEP": STEP,
        "ORDER": ORDER,
        "STEPNB": channels,
        "ZPDINDEX": channels // 5,
        "CALIBNM": LASER,
        "AXISCORR": CORR,
        "FILTER": "SN3",
        "EXPTIME": 36.1,
        "OBJECT": "NGC6946",
        "APODIZ": "None",
    }
    keywords.update(changes)
    rows = [
        (name, str(value), "", type(value).__name__)
        for name, value in keywords.items()
        if value is not None
    ]
    rows.append(("COMMENT", "STEP 1.0", "", "comment"))
    with h5py.File(path, "w") as file:
        file.attrs.update({"quad_nb": 9, "dimx": nx, "dimy": ny, "dimz": channels})
        file["header"] = np.array(rows, dtype="S300")
        for index in range(9):
            (x0, x1), (y0, y1) = (
                edges[axis][place : place + 2] for axis, place in enumerate((index % 3, index // 3))
            )
            file.create_dataset(f"quad{index:03d}/data", data=data[x0:x1, y0:y1], **options)
        for name, values in (datasets or {}).items():
            file[name] = values
    return path


def axis_ends(channels, corr=CORR, step=STEP, order=ORDER):
    """First and last wavenumber of an even order, by the formula of the ORB documentation."""
    low, high = (k / (2 * step) * corr * 1e7 for k in (order, order + 1))
    return low, high - (high - low) / channels
