"""A rotating disk with HII regions, as rows of a fit: what the tests of maps and views draw."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from streamfit.io.manifest import Plan, RunManifest
from streamfit.io.parts import PartSink
from streamfit.io.records import BatchKey

LINES = ("Halpha", "NII6548", "NII6583", "SII6716", "SII6731")
FLUX_UNIT = "1e-16 erg s-1 cm-2"
BITS = {"NO_DATA": 1, "NONFINITE": 2, "NO_SIGNAL": 4, "MAX_ITERATIONS": 32, "AT_BOUND": 64}


def celestial(nx: int, ny: int) -> dict[str, object]:
    """Cards of a tangent projection of 0.32 arcsec pixels, north up, turned by ten degrees."""
    turn, step = np.deg2rad(10.0), 0.32 / 3600
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CRPIX1": nx / 2 + 0.5,
        "CRPIX2": ny / 2 + 0.5,
        "CRVAL1": 24.174,
        "CRVAL2": 15.783,
        "CD1_1": -step * np.cos(turn),
        "CD1_2": step * np.sin(turn),
        "CD2_1": step * np.sin(turn),
        "CD2_2": step * np.cos(turn),
        "RADESYS": "ICRS",
    }


def disk(nx: int, ny: int, *, seed: int = 1) -> dict[str, np.ndarray]:
    """Give the columns of a fit of every spaxel, x slow and y fast."""
    rng = np.random.default_rng(seed)
    x, y = (axis.ravel() for axis in np.mgrid[0:nx, 0:ny])
    scale = 0.32 * max(nx, ny)
    u, v = (x - 0.5 * nx + 0.5) / scale, (y - 0.5 * ny + 0.5) / scale
    angle, slope = np.deg2rad(35.0), np.cos(np.deg2rad(48.0))
    major = u * np.cos(angle) + v * np.sin(angle)
    minor = (v * np.cos(angle) - u * np.sin(angle)) / slope
    radius, azimuth = np.hypot(major, minor), np.arctan2(minor, major)
    velocity = 652 + 118 * np.sin(np.deg2rad(48)) * np.tanh(3.2 * radius) * np.cos(azimuth)
    velocity += 9 * np.cos(2 * azimuth - 5 * radius) * np.exp(-radius)
    halpha = 2.2 * np.exp(-2.1 * radius) + 6.0 * np.exp(-((radius / 0.07) ** 2))
    regions = np.zeros_like(halpha)
    for _ in range(70):
        arm, away = rng.integers(2), rng.uniform(0.15, 1.15)
        where = 3.6 * np.log(away / 0.15) * 0.45 + np.pi * arm + rng.normal(0, 0.16)
        near = np.hypot(
            major - away * np.cos(where), (minor - away * np.sin(where)) * 1.0
        ) / rng.uniform(0.025, 0.06)
        regions += rng.lognormal(1.2, 0.7) * np.exp(-0.5 * near**2) * np.exp(-0.6 * away)
    halpha += regions
    broadening = 17 + 22 * np.exp(-((radius / 0.16) ** 2)) + 9 / (1 + regions)
    nii = halpha * (0.42 - 0.15 * np.tanh(regions) + 0.8 * np.exp(-((radius / 0.1) ** 2)))
    sii = halpha * (0.30 - 0.14 * np.tanh(regions))
    noise = 0.055
    snr = halpha / noise
    columns: dict[str, np.ndarray] = {"x": x.astype(np.int32), "y": y.astype(np.int32)}
    status = np.zeros(len(x), np.int32)
    status[snr < 3] |= BITS["NO_SIGNAL"]
    status[rng.random(len(x)) < 0.01] |= BITS["NONFINITE"]
    status[(rng.random(len(x)) < 0.004) & (snr < 12)] |= BITS["AT_BOUND"]
    dead = (np.abs(x - 0.8 * nx) < 0.01 * nx) & (y > 0.7 * ny)
    status[dead] = BITS["NO_DATA"]
    error = 32 / np.maximum(snr, 1)
    lost = snr < 3
    columns["status"] = status
    columns["velocity"] = np.where(lost, rng.uniform(300, 1000, len(x)), velocity) + error * (
        rng.normal(size=len(x))
    )
    columns["velocity_err"] = error
    columns["broadening"] = np.abs(broadening + error * rng.normal(size=len(x)))
    columns["broadening_err"] = error
    columns["continuum"] = 0.7 * np.exp(-2.5 * radius) + 0.01 * rng.normal(size=len(x))
    columns["continuum_err"] = np.full(len(x), 0.01)
    columns["chi2"] = rng.chisquare(120, len(x))
    columns["dof"] = np.full(len(x), 120, np.int32)
    columns["noise"] = np.full(len(x), noise)
    columns["snr"] = np.maximum(snr + rng.normal(size=len(x)), 0)
    strength = dict(zip(LINES, (halpha, nii / 3.071, nii, sii * 0.58, sii * 0.42), strict=True))
    for line, flux in strength.items():
        drawn = flux + noise * rng.normal(size=len(x))
        columns[f"{line}_amplitude"] = drawn * 1.4
        columns[f"{line}_amplitude_err"] = np.full(len(x), noise * 1.4)
        columns[f"{line}_flux"] = drawn
        columns[f"{line}_flux_err"] = np.full(len(x), noise)
    for name, values in columns.items():
        if name not in ("x", "y", "status"):
            values = values.astype(np.int32 if name == "dof" else np.float32)
            if name != "dof":
                values[dead] = np.nan
            columns[name] = values
    return columns


def unit_of(name: str) -> str:
    """Give the unit of a column."""
    if name.startswith(("velocity", "broadening")):
        return "km/s"
    if "_flux" in name:
        return FLUX_UNIT
    return "1e-16 erg s-1 cm-2 Angstrom-1" if "_amplitude" in name or "cont" in name else ""


def table_of(columns: dict[str, np.ndarray]) -> pa.Table:
    """Give the columns as a table whose fields say their unit."""
    fields = [
        pa.field(
            name,
            pa.from_numpy_dtype(values.dtype),
            nullable=False,
            metadata={"unit": unit_of(name), "description": f"{name} of the test disk"},
        )
        for name, values in columns.items()
    ]
    return pa.table(list(columns.values()), schema=pa.schema(fields))


def write_run(
    folder: Path,
    columns: dict[str, np.ndarray],
    *,
    area: tuple[int, int, int, int],
    cards: dict[str, object],
    rows: int = 4096,
) -> Path:
    """Write a run directory that holds these rows, some batches in each part."""
    table = table_of(columns)
    folder.mkdir(parents=True)
    (folder / "run.toml").write_text("")
    x0, x1, y0, y1 = area
    header = {
        **{"name": "disk.fits", "layout": "", "unit": unit_of("continuum"), "target": "NGC 628"},
        **{"instrument": "SITELLE", "filter_name": "SN3", "bin": 1, "celestial": cards},
        "area": f"{x0}:{x1},{y0}:{y1}",
    }
    manifest = RunManifest(
        stage="optical",
        input="/data/disk.fits",
        fingerprint={},
        choices={"version": "0.1.0"},
        digest="ab" * 32,
        header=header,
        table={"ils": "sincgauss"},
        plan=Plan(rows, -(-len(table) // rows), len(table)),
    )
    manifest.write(folder / "manifest.json")
    sink = PartSink(folder / "fit", table.schema, batches_per_part=3)
    for start in range(0, len(table), rows):
        batch = table.slice(start, rows).combine_chunks().to_batches()[0]
        sink.write(BatchKey("disk.fits", start, start + len(batch)), batch)
    sink.close()
    return folder
