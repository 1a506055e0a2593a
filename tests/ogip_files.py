"""Small OGIP files in the many ways they are written, for the tests of the X-ray reader."""

from pathlib import Path

import numpy as np
from astropy.io import fits

CHANNELS, ENERGIES = 24, 30
ENERGY = np.linspace(0.3, 9.0, ENERGIES + 1)
CHANNEL = np.linspace(0.2, 9.2, CHANNELS + 1)
AREA = 400.0 * np.exp(-0.5 * np.square((ENERGY[1:] - 2.0) / 3.0))
EXPOSURE = 1000.0


def redistribution() -> np.ndarray:
    """A line and an escape peak apart from it, shape (energy, channel); rows sum to one."""
    centre = 0.5 * (CHANNEL[1:] + CHANNEL[:-1])
    energy = 0.5 * (ENERGY[1:] + ENERGY[:-1])[:, None]
    matrix = np.exp(-0.5 * np.square((centre - energy) / 0.3))
    matrix[matrix < 1e-3] = 0.0
    matrix += np.where(np.abs(centre - energy + 3.0) < 0.2, 0.05, 0.0)
    return (matrix / matrix.sum(axis=1, keepdims=True)).astype("f4")


def counts(seed: int = 1, mean: float = 20.0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean, CHANNELS)


def table(name: str, columns: list[fits.Column], **cards) -> fits.BinTableHDU:
    """A table; a card set to None is left out."""
    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    for key, value in cards.items():
        if value is not None:
            hdu.header[key] = value
    return hdu


def save(path: Path, *hdus: fits.BinTableHDU, image: bool = False) -> Path:
    primary = fits.PrimaryHDU(np.ones((64, 64), "i2") if image else None)
    fits.HDUList([primary, *hdus]).writeto(path, overwrite=True)
    return path


def pha(
    path: Path,
    values: np.ndarray | None = None,
    *,
    first: int = 1,
    column: str = "COUNTS",
    columns: tuple[fits.Column, ...] = (),
    extension: str = "SPECTRUM",
    image: bool = False,
    **cards,
) -> Path:
    """A spectrum of type I that links to a.rmf and a.arf."""
    values = counts() if values is None else values
    kind = "J" if np.issubdtype(values.dtype, np.integer) else "D"
    given = [
        fits.Column("CHANNEL", "J", array=first + np.arange(values.size)),
        fits.Column(column, kind, array=values),
        *columns,
    ]
    words = {
        "HDUCLASS": "OGIP",
        "HDUCLAS1": "SPECTRUM",
        "HDUCLAS2": "TOTAL",
        "EXPOSURE": EXPOSURE,
        "BACKSCAL": 0.5,
        "AREASCAL": 1.0,
        "RESPFILE": "a.rmf",
        "ANCRFILE": "a.arf",
        "BACKFILE": "none",
        "OBJECT": "A test",
        "TELESCOP": "CHANDRA",
        "INSTRUME": "ACIS",
        "OBS_ID": "123",
    }
    return save(path, table(extension, given, **{**words, **cards}), image=image)


def arf(path: Path, *, low=ENERGY[:-1], high=ENERGY[1:], area=AREA, unit="cm**2", **cards) -> Path:
    columns = [
        fits.Column("ENERG_LO", "E", "keV", array=low),
        fits.Column("ENERG_HI", "E", "keV", array=high),
        fits.Column("SPECRESP", "E", unit, array=area),
    ]
    words = {"HDUCLAS1": "RESPONSE", "HDUCLAS2": "SPECRESP"}
    return save(path, table("SPECRESP", columns, **{**words, **cards}))


def runs(row: np.ndarray) -> list[tuple[int, int]]:
    """Start and length of every run of values other than zero."""
    filled = np.concatenate([[0], (row != 0).astype(int), [0]])
    steps = np.diff(filled)
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return list(zip(starts, stops - starts, strict=True))


def rmf(
    path: Path,
    matrix: np.ndarray | None = None,
    *,
    layout: str = "variable",
    first: int = 1,
    tlmin: bool = True,
    bounds_tlmin: bool = False,
    channel: np.ndarray | None = None,
    reverse: bool = False,
    name: str = "MATRIX",
    low=ENERGY[:-1],
    high=ENERGY[1:],
    **cards,
) -> Path:
    """A redistribution matrix; `layout` is variable, fixed (padded) or scalar (one run a row)."""
    matrix = redistribution() if matrix is None else matrix
    rows = [[(0, matrix.shape[1])] if layout == "scalar" else runs(row) for row in matrix]
    values = [
        np.concatenate([row[a : a + n] for a, n in found] or [row[:0]]).astype("f4")
        for row, found in zip(matrix, rows, strict=True)
    ]
    starts = [np.array([a + first for a, _ in found], "i2") for found in rows]
    lengths = [np.array([n for _, n in found], "i2") for found in rows]
    if layout == "variable":
        packed = [("PI()", starts), ("PI()", lengths), ("PE()", values)]
        packed = [(kind, np.array([*rows, None], dtype=object)[:-1]) for kind, rows in packed]
    elif layout == "fixed":
        widest = max(map(len, starts))
        packed = [
            (f"{widest}I", padded(starts, widest)),
            (f"{widest}I", padded(lengths, widest)),
            (f"{matrix.shape[1]}E", padded(values, matrix.shape[1])),
        ]
    else:
        packed = [
            ("I", np.concatenate(starts)),
            ("I", np.concatenate(lengths)),
            (f"{matrix.shape[1]}E", np.array(values)),
        ]
    order = slice(None, None, -1) if reverse else slice(None)
    columns = [
        fits.Column("ENERG_LO", "E", "keV", array=low[order]),
        fits.Column("ENERG_HI", "E", "keV", array=high[order]),
        fits.Column("N_GRP", "I", array=np.array([len(found) for found in rows])[order]),
        *(
            fits.Column(label, kind, array=array[order])
            for label, (kind, array) in zip(("F_CHAN", "N_CHAN", "MATRIX"), packed, strict=True)
        ),
    ]
    words = {"HDUCLAS1": "RESPONSE", "HDUCLAS2": "RSP_MATRIX", "TLMIN4": first if tlmin else None}
    numbers = first + np.arange(matrix.shape[1]) if channel is None else channel
    bounds = table(
        "EBOUNDS",
        [
            fits.Column("CHANNEL", "J" if numbers.dtype.kind == "i" else "E", array=numbers),
            fits.Column("E_MIN", "E", "keV", array=CHANNEL[:-1]),
            fits.Column("E_MAX", "E", "keV", array=CHANNEL[1:]),
        ],
        HDUCLAS1="RESPONSE",
        HDUCLAS2="EBOUNDS",
        TLMIN1=first if bounds_tlmin else None,
    )
    return save(path, table(name, columns, **{**words, **cards}), bounds)


def padded(rows: list[np.ndarray], width: int) -> np.ndarray:
    full = np.zeros((len(rows), width), rows[0].dtype)
    for index, row in enumerate(rows):
        full[index, : len(row)] = row
    return full


def observation(folder: Path, **cards) -> Path:
    """A spectrum with its response beside it, and a background if BACKFILE names b.pha."""
    rmf(folder / "a.rmf")
    arf(folder / "a.arf")
    if cards.get("BACKFILE") == "b.pha":
        pha(folder / "b.pha", counts(2, 5.0), EXPOSURE=2000.0, BACKSCAL=2.0, HDUCLAS2="BKG")
    return pha(folder / "a.pha", **cards)


def pha2(path: Path, rows: np.ndarray, *, columns: tuple[fits.Column, ...] = (), **cards) -> Path:
    """Spectra of type II, a row each, with exposures that differ."""
    count, channels = rows.shape
    given = [
        fits.Column("SPEC_NUM", "I", array=1 + np.arange(count)),
        fits.Column("CHANNEL", f"{channels}I", array=np.tile(1 + np.arange(channels), (count, 1))),
        fits.Column("COUNTS", f"{channels}J", array=rows),
        fits.Column("EXPOSURE", "D", array=EXPOSURE * (1 + np.arange(count))),
        *columns,
    ]
    words = {"HDUCLAS1": "SPECTRUM", "HDUCLAS4": "TYPE:II", "BACKSCAL": 1.0, "RESPFILE": "a.rmf"}
    return save(path, table("SPECTRUM", given, **{**words, "ANCRFILE": "a.arf", **cards}))
