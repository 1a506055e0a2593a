"""Computes the table of plasma emission and absorption in `models/tables`.

Emission is the MEKAL code (Mewe, Gronenschild & van den Oord 1985, A&AS 62, 197; Liedahl,
Osterheld & Goldstein 1995, ApJ 438, L115) in XSPEC's model library, abundances of Anders & Grevesse
(1989); absorption is TBabs with the abundances of Wilms, Allen & McCray (2000, ApJ 542, 914).
The library comes with ``pip install xspectrampoline``, the six files ``mekal1.dat`` to
``mekal6.dat`` have to be given:

    python -m streamfit.tools.build_plasma MEKAL_FOLDER models/tables
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.plasma import PlasmaTable
from ..models.card import Card, Tensor, digest, save_card
from .xspec_library import XspecLibrary

Array = NDArray[np.float64]

# 5 eV where detectors resolve lines and sources may be at z = 0.4; beyond there are none.
EDGES: Array = np.concatenate(
    [0.1 + 0.005 * np.arange(2380.0), 12.0 + 0.05 * np.arange(561.0)], dtype=np.float64
)
TEMPERATURES: Array = np.geomspace(0.08, 20.0, 129, dtype=np.float64)  # kT [keV]
_ABUNDANCE = 0.8  # where the metals are taken from: the error of linearity is least up to 1.2
_THIN = 0.01  # 1e22 cm-2: so little that nothing underflows at 0.1 keV

LICENCE = (
    "BSD-3-Clause for this table, which is computed. Computed with MEKAL and TBabs of XSPEC "
    "6.35.1 (HEASOFT, NASA: 'Permission to freely use, copy, modify, and distribute this software "
    "and its documentation without fee is hereby granted, provided that this copyright notice and "
    "disclaimer of warranty appears in all copies'; no code or data file of it is contained)."
)


def compute(library: XspecLibrary) -> PlasmaTable:
    """Compute the table.

    Parameters
    ----------
    library : XspecLibrary

    Returns
    -------
    PlasmaTable
    """
    library.abundances("angr")
    primordial = np.array([library.mekal(EDGES, kT, 0.0) for kT in TEMPERATURES])
    whole = np.array([library.mekal(EDGES, kT, _ABUNDANCE) for kT in TEMPERATURES])
    library.abundances("wilm")
    cross_section = -np.log(library.tbabs(EDGES, _THIN)) / _THIN
    metals = np.maximum(whole - primordial, 0.0) / _ABUNDANCE
    return PlasmaTable(EDGES, TEMPERATURES, primordial, metals, cross_section)


def write(table: PlasmaTable, path: Path, settings: dict[str, Any]) -> None:
    """Write a table and its card.

    Parameters
    ----------
    table : PlasmaTable
    path : Path
        An ``.npz`` file.
    settings : dict
        What the card says of where it comes from.
    """
    held = {
        "edges": table.edges,
        "temperature": table.temperature,
        "primordial": table.primordial.astype(np.float32),
        "metals": table.metals.astype(np.float32),
        "cross_section": table.cross_section,
    }
    np.savez_compressed(path, **held)
    size = ["bin"]
    tensors = (
        Tensor("edges", ("bin + 1",), "float64", "keV", "edges of the energy bins"),
        Tensor("temperature", ("temperature",), "float64", "keV", "kT"),
        Tensor(
            "primordial",
            ("temperature", *size),
            "float32",
            "photons/cm2/s",
            "hydrogen and helium at norm 1",
        ),
        Tensor("metals", ("temperature", *size), "float32", "photons/cm2/s", "the rest, at solar"),
        Tensor("cross_section", ("bin",), "float64", "1e-22 cm2", "absorption per hydrogen atom"),
    )
    card = Card(
        name=path.stem,
        version=1,
        licence=LICENCE,
        purpose="Emission of an optically thin plasma, and photoelectric absorption",
        inputs=(),
        outputs=tensors,
        training={**settings, "digest": digest(settings, Path(__file__))},
        holds={"kT_keV": [0.08, 20.0], "abundance": [0.0, 1.2], "energy_keV": [0.1, 40.0]},
    )
    save_card(path, card)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute and write the table."""
    parser = argparse.ArgumentParser(description="Compute the table of plasma emission.")
    parser.add_argument("mekal", type=Path, help="folder of mekal1.dat ... mekal6.dat")
    parser.add_argument("folder", type=Path, help="where plasma.npz is written")
    options = parser.parse_args(arguments)
    library = XspecLibrary()
    for path in sorted(options.mekal.glob("mekal?.dat")):
        shutil.copy(path, library.data_folder)
    options.folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "emission": "XSPEC mekal, calculated (switch 0), 1e-6 H atoms/cm3, abundances angr",
        "absorption": "XSPEC tbabs, abundances wilm",
        "library": f"xspectrampoline {library.version}",
        "reference_abundance": _ABUNDANCE,
    }
    write(compute(library), options.folder / "plasma.npz", settings)


if __name__ == "__main__":
    main()
