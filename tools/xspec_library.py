"""XSPEC's model library, where `xspectrampoline` is installed: for tables and for tests.

MEKAL needs its six data files in `XspecLibrary.data_folder`, where ``python -m
streamfit.tools.build_plasma`` puts them.
"""

import ctypes
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_DENSITY = 1e-6  # hydrogen atoms/cm3: no line of an ion is quenched by collisions


class XspecLibrary:
    """The models of XSPEC that are compared with or tabulated.

    Raises
    ------
    ImportError
        If ``xspectrampoline`` is not installed.
    """

    def __init__(self) -> None:
        # Bare-bones ctypes without types or stubs, and part of an optional extra.
        import xspectrampoline as bound  # pyright: ignore[reportMissingImports]

        self._bound: Any = bound
        models = bound.get_libraries()
        self._mekal = models.get_model("C_mekal")
        self._tbabs = models.get_model("C_tbabs")
        self._phabs = models.get_model("C_phabs")
        self._powerlaw = models.get_model("C_powerlaw")
        self.version = version("xspectrampoline")

    @property
    def data_folder(self) -> Path:
        """Where MEKAL looks for its files; made where it is missing."""
        folder = Path(self._bound.get_HEADAS()) / "spectral" / "modelData"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def has_mekal(self) -> bool:
        """Whether the six files of MEKAL are there."""
        return all((self.data_folder / f"mekal{part}.dat").is_file() for part in range(1, 7))

    def abundances(self, name: str) -> None:
        """Choose the solar abundances of what is computed next, "angr" or "wilm"."""
        error = ctypes.c_int(0)
        self._bound.lib_XSFunctions.FPSOLR(name.encode(), ctypes.byref(error))
        if error.value:
            raise ValueError(f"XSPEC has no solar abundances {name!r}")

    def mekal(self, edges: Array, temperature: float, abundance: float, z: float = 0.0) -> Array:
        """Give the photons of a plasma at norm 1, shape (bin,) [photons/cm2/s]."""
        if not self.has_mekal:
            raise FileNotFoundError(
                f"{self.data_folder} lacks mekal1.dat to mekal6.dat; copy them there"
            )
        return self._photons(self._mekal, edges, [temperature, _DENSITY, abundance, z, 0.0])

    def tbabs(self, edges: Array, column: float) -> Array:
        """Give the transmission of a column [1e22 cm-2], shape (bin,)."""
        return self._photons(self._tbabs, edges, [column])

    def phabs(self, edges: Array, column: float) -> Array:
        """Give the transmission of a column by photoelectric absorption alone, shape (bin,)."""
        return self._photons(self._phabs, edges, [column])

    def powerlaw(self, edges: Array, index: float) -> Array:
        """Give the photons of a power law of one photon/cm2/s/keV at 1 keV, shape (bin,)."""
        return self._photons(self._powerlaw, edges, [index])

    def _photons(self, model: Any, edges: Array, parameters: list[float]) -> Array:
        """Call a model."""
        out, error = np.zeros(edges.size - 1), np.zeros(edges.size - 1)
        model(np.ascontiguousarray(edges), np.array(parameters), out, error)
        return out
