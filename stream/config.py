"""What a run is to do, frozen, with its defaults and the digest of what changes its results.

How files and flags become a configuration is `layers.py`.
"""

import hashlib
import json
from dataclasses import dataclass, field
from importlib.metadata import version as distribution_version
from typing import Any

import tomli_w

from ..io.records import Area
from .options import OPTIONS

# Of the engine, only the seed changes the table.
_TABLE_KEYS = ("seed",)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How a run uses the machine. `threads` and `batch` are 0 where the engine chooses."""

    device: str = "auto"
    threads: int = 0
    memory: int = 2 * 2**30
    batch: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class OpticalConfig:
    """What the optical stage fits.

    Parameters
    ----------
    lines : tuple of str or None
        None: the strong lines in the band, and those of `custom_lines`.
    custom_lines : tuple of (name, air wavelength [nm])
        Lines defined by the user.
    redshift : float or None
        None: the cube's own, else 0.
    velocity_range, broadening_range : (low, high)
        Bounds [km/s].
    ils : {"auto", "gaussian", "sinc", "sincgauss"}
    resolution : float, "none" or None
        Resolving power of a FITS cube; "none": broadening as observed; None: the cube's own.
    window : (low, high) or None
        Channels to fit [cm-1 or nm, as the cube's axis].
    groups : tuple of tuples of str
        Kinematic groups; empty: all lines in one.
    ratios : tuple of (numerator, denominator, value) or None
        Fixed flux ratios; empty: all free; None: the defaults.
    continuum_degree : int
    noise : {"auto", "variance", "band", "imaginary", "residual"}
    region : Area or None
        None: the whole cube.
    mask : str or None
        Absolute path.
    bin : int
        Side of a bin [spaxels].
    """

    lines: tuple[str, ...] | None = None
    custom_lines: tuple[tuple[str, float], ...] = ()
    redshift: float | None = None
    velocity_range: tuple[float, float] = (-1000.0, 1000.0)
    broadening_range: tuple[float, float] = (1.0, 500.0)
    ils: str = "auto"
    resolution: float | str | None = None
    window: tuple[float, float] | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    ratios: tuple[tuple[str, str, float], ...] | None = None
    continuum_degree: int = 1
    noise: str = "auto"
    region: Area | None = None
    mask: str | None = None
    bin: int = 1


@dataclass(frozen=True, slots=True)
class RunConfig:
    """All that a run is told.

    Parameters
    ----------
    stage : str
        "optical".
    input : str
        Absolute path of the cube.
    engine : EngineConfig
    optical : OpticalConfig
    version : str
        Of stream-fit.
    """

    stage: str
    input: str
    engine: EngineConfig = field(default_factory=EngineConfig)
    optical: OpticalConfig = field(default_factory=OpticalConfig)
    version: str = field(default_factory=lambda: distribution_version("stream-fit"))

    def table(self) -> dict[str, dict[str, Any]]:
        """Give the configuration as ``run.toml`` holds it; what is None is left out."""
        run = {"stage": self.stage, "input": self.input, "version": self.version}
        table: dict[str, dict[str, Any]] = {
            "run": {**run, "velocity_convention": "optical, c dlambda / lambda0"},
            "engine": {},
            "optical": {},
        }
        for option in OPTIONS:
            value = getattr(getattr(self, option.section), option.name)
            if value is not None and value != ():
                table[option.section][option.name] = option.write(value)
            elif option.name == "ratios" and value == ():
                table["optical"]["ratios"] = "free"
        if self.optical.custom_lines:
            table["lines"] = dict(self.optical.custom_lines)
        return table

    def choices(self) -> dict[str, Any]:
        """Give by name what changes the table of results: not where the input lies, nor speed."""
        table = self.table()
        chosen = {"stage": self.stage, "version": self.version}
        chosen |= {f"engine.{name}": table["engine"][name] for name in _TABLE_KEYS}
        chosen |= {f"optical.{name}": value for name, value in table["optical"].items()}
        chosen |= {f"lines.{name}": value for name, value in table.get("lines", {}).items()}
        # The mask is known by its content, which the input's identity holds.
        chosen.pop("optical.mask", None)
        return chosen

    def digest(self) -> str:
        """SHA-256 of `choices`, in hexadecimal."""
        text = json.dumps(self.choices(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_toml(self) -> str:
        """Write ``run.toml``."""
        return tomli_w.dumps(self.table())
