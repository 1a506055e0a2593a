"""Cubes of MUSE and GMOS beside the fits of ifscube."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.results import FitStatus
from ..kernels.axis import GAUSSIAN_FWHM, SPEED_OF_LIGHT
from .references import IFSCUBE_LINES, IFSCUBE_NII, Published, read_ifscube
from .side_by_side import (
    Check,
    Comparison,
    Maps,
    beside_the_network,
    fit,
    relativistic,
    typical,
)

Mask = NDArray[np.bool_]


def _as_ifscube(lines: tuple[str, ...], window: tuple[float, float], z: float) -> dict[str, Any]:
    """Give the options that make our model that of an ifscube configuration; window rest [nm]."""
    return {
        "lines": lines,
        "custom_lines": tuple((line, IFSCUBE_LINES[line]) for line in lines),
        "ratios": (("NII6583", "NII6548", IFSCUBE_NII),),
        "redshift": z,
        "resolution": "none",
        "window": (window[0] * (1 + z), window[1] * (1 + z)),
    }


def a478(data: Path, runs: Path) -> list[Comparison]:
    """Central galaxy of Abell 478, MUSE: with the configuration of the reference, and ours."""
    folder, z = data / "ifu" / "muse_a478", 0.0858
    theirs = read_ifscube(folder / "a478_ha_linefit.fits", z)
    cube = folder / "a478_ha.fits"
    same = fit(
        cube,
        runs / "a478",
        **_as_ifscube(tuple(IFSCUBE_LINES), (648.0, 679.0), z),
        velocity_range=(-600.0, 600.0),
        broadening_range=(30.0, 600.0),
        continuum_degree=2,
    )
    default = fit(cube, runs / "a478_default", redshift=z)
    return [
        Comparison(
            "Abell 478, MUSE",
            "ifscube 1.3, its settings",
            "all of `a478.cfg`: its lines, window, bounds, amplitude tie; SNR > 10",
            _a478_checks(same, theirs),
            "It subtracts a clipped parabola before it fits the lines, we fit both at once.",
        ),
        Comparison(
            "Abell 478, MUSE",
            "ifscube 1.3, our defaults",
            "our defaults but `--redshift 0.0858`; SNR > 10",
            (*_a478_checks(default, theirs), *beside_the_network(default, default["snr"] > 5)),
            "Our wavelengths differ from theirs by up to 0.02 A (0.9 km/s, of Halpha), our [NII] "
            "ratio is 3.071 (theirs 3.077 in flux), our continuum a straight line.",
        ),
    ]


def _a478_checks(ours: Maps, theirs: Published) -> tuple[Check, ...]:
    rows = (ours["snr"] > 10) & theirs.good
    n = int(rows.sum())
    velocity = (relativistic(ours["velocity"]) - theirs.velocity)[rows]
    sigma = 100 * (ours["broadening"] / theirs.broadening - 1)[rows]
    checks = [
        Check("velocity, median difference", typical(velocity), (0, 1), n, "km/s"),
        Check("velocity, 95 % within", typical(velocity, share=95), (0, 1), n, "km/s"),
        Check("dispersion, median difference", typical(sigma), (0, 2), n, "%"),
    ]
    for line in ("Halpha", "NII6583", "SII6716", "SII6731"):
        seen = rows & (theirs.flux[line] > 0)
        flux = 100 * (ours[f"{line}_flux"][seen] / theirs.flux[line][seen] - 1)
        text = f"{line} flux, median difference"
        checks.append(Check(text, typical(flux), (0, 2), int(seen.sum()), "%"))
    return tuple(checks)


def ngc3081(data: Path, runs: Path) -> list[Comparison]:
    """NGC 3081, GMOS: beside two runs of ifscube, whose own difference is the measure."""
    folder, z = data / "ifu" / "gmos_ngc3081", 0.007976
    stem = "ngc3081_cube_linefit"
    names = {"ifscube, repository": f"{stem}_repo.fits"}
    names["ifscube 1.3"] = f"{stem}_rerun_ifscube1.3.fits"
    theirs = {name: read_ifscube(folder / file, z) for name, file in names.items()}
    ours = fit(
        folder / "ngc3081_cube.fits",
        runs / "ngc3081",
        **_as_ifscube(("NII6548", "Halpha", "NII6583"), (600.0, 670.0), z),
        velocity_range=(-200.0, 200.0),
        broadening_range=(40.0, 300.0),
        continuum_degree=10,
    )
    one, other = theirs.values()
    rows = (ours["snr"] > 3) & one.good & other.good
    mine = Published(
        good=rows,
        velocity=relativistic(ours["velocity"]),
        broadening=ours["broadening"],
        flux={},
        amplitude={"Halpha": ours["Halpha_amplitude"]},
    )
    limit = _apart(one, other, rows)
    return [
        Comparison(
            "NGC 3081, GMOS",
            name,
            "all of `halpha_cube.cfg`: its lines, window, bounds, amplitude tie, continuum of "
            "degree 10; SNR > 3",
            tuple(
                Check(f"{quantity}, median difference", found, (0, limit[quantity][0]), n, unit)
                for quantity, (found, n, unit) in _apart(mine, reference, rows).items()
            ),
            "Asked is to be no further off than the two runs of ifscube are from each other.",
        )
        for name, reference in theirs.items()
    ]


def _apart(one: Published, other: Published, rows: Mask) -> dict[str, tuple[float, int, str]]:
    """Median difference of two fits: of velocity [km/s], amplitude [%] and dispersion [%]."""
    n = int(rows.sum())
    velocity = (one.velocity - other.velocity)[rows]
    amplitude = 100 * (one.amplitude["Halpha"] / other.amplitude["Halpha"] - 1)[rows]
    sigma = 100 * (one.broadening / other.broadening - 1)[rows]
    return {
        "velocity": (typical(velocity), n, "km/s"),
        "Halpha amplitude": (typical(amplitude), n, "%"),
        "dispersion": (typical(sigma), n, "%"),
    }


def ngc7009(data: Path, runs: Path) -> list[Comparison]:
    """Planetary nebula NGC 7009, MUSE, no variance: whether the fit is a sane one."""
    lines = ("NII6583", "CII6578", "HeI6678", "SII6716", "SII6731")
    ours = fit(
        data / "ifu" / "muse_ngc7009" / "3dspec_2x2.fits",
        runs / "ngc7009",
        lines=lines,
        custom_lines=(("CII6578", 657.805),),
        window=(657.0, 676.0),
    )
    ratio = ours["SII6716_flux"] / ours["SII6731_flux"]
    centre = 6650.0
    fwhm = 5.866e-8 * centre**2 - 9.187e-4 * centre + 6.040  # MUSE (Bacon et al. 2017, eq. 8)
    instrument = fwhm / GAUSSIAN_FWHM / centre * SPEED_OF_LIGHT
    n = ratio.size
    # At a ratio of thousands to the noise between channels the lines are no exact Gaussians.
    bits = float(np.count_nonzero(ours["status"].astype(int) & ~int(FitStatus.POOR_FIT)))
    snr = float(ours["snr"].min())
    checks = (
        Check("spaxels with a status bit other than POOR_FIT", bits, (0, 0), n, text=f"{bits:.0f}"),
        Check("velocity, range", float(np.ptp(ours["velocity"])), (0, 10), n, "km/s"),
        Check("[SII] 6716/6731", float(np.median(ratio)), (0.44, 1.45), n),
        Check(
            "width over the instrument's",
            float(np.median(ours["broadening"])) / instrument,
            (0.9, 1.1),
            n,
        ),
        Check("SNR of the brightest line", snr, (50, 1e4), n, text=f"{snr:.0f}"),
    )
    return [
        Comparison(
            "NGC 7009, MUSE",
            "none",
            "[NII]6583, [CII]6578, HeI6678 and [SII] from 6570 to 6760 A, noise from the residuals",
            checks,
            "Halpha is saturated in this cube (half of Hbeta, with two peaks) and left out.",
        )
    ]
