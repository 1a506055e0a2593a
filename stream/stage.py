"""A stage opened on its input: a source that can be cut, a recipe, and what they cost in memory."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..io.errors import DeviceError, InputError
from ..io.records import Area, CubeHeader
from ..models.fit_graph import choose_fitter
from ..models.session import DeviceMissingError, resolve_device
from .budget import Cost
from .config import RunConfig
from .livemap import LiveMap
from .livespectrum import LiveSpectrum
from .progress import LivePicture
from .recipe import Recipe, Source


@dataclass(frozen=True, slots=True)
class Stage:
    """What `run.py` needs of a science.

    Parameters
    ----------
    name : str
        Of the input.
    recipe : Recipe
    cut : callable
        Gives the source for a size of batch.
    cost : Cost
        Memory.
    spaxels : int
        To be read in all.
    grain : int
        Spaxels read for one row, more than one in bins.
    area : Area or None
        Of the map grid; None where the rows are no map.
    header : dict
        For the manifest.
    provider : str
        What runs the fits.
    batch : int
        Size of a batch where the user asks for none; 0 to choose it by the bound on memory.
    rows : str
        What a row is, in the plural.
    notes : tuple of str
        What the reader and the recipe had to assume.
    close : callable
        Lets go of the input.
    table : str
        Folder of the parts it fills.
    picture : callable or None
        Gives what the live view draws, where it is neither a map nor a deconvolved spectrum.
    then : callable or None
        Opens the stage that follows, given the run directory; None after the last.
    """

    name: str
    recipe: Recipe
    cut: Callable[[int], Source]
    cost: Cost
    spaxels: int
    area: Area | None
    header: dict[str, Any]
    provider: str = "cpu"
    grain: int = 1
    batch: int = 0
    rows: str = "spaxels"
    notes: tuple[str, ...] = ()
    close: Callable[[], None] = lambda: None
    table: str = "fit"
    picture: Callable[[], LivePicture] | None = None
    then: "Callable[[Path], Stage] | None" = None

    def live_picture(self) -> LivePicture:
        """Give what the live view draws: a map, or the last spectrum."""
        if self.picture is not None:
            return self.picture()
        schema = self.recipe.schema
        return LiveSpectrum(schema) if self.area is None else LiveMap(self.area, schema)


Opener = Callable[[RunConfig], Stage]


def open_stage(config: RunConfig) -> Stage:
    """Open the stage a configuration names.

    Raises
    ------
    InputError
        If the input or an option is not what the stage can use.
    DeviceError
        If the device asked for is not there.
    """
    openers = {"optical": open_optical, "xray": open_xray}
    if config.stage not in openers:
        known = " and ".join(openers)
        raise InputError(f"stage {config.stage} is unknown; this version knows {known}")
    return openers[config.stage](config)


def open_optical(config: RunConfig) -> Stage:
    """Open a cube for the optical fit."""
    from ..io.mask import read_mask
    from ..io.source import CubeSource, open_cube
    from .optical import OpticalRecipe

    chosen = config.optical
    devices = find_devices(config.engine.device)
    reader = open_cube(config.input)
    try:
        mask = read_mask(chosen.mask, reader.header) if chosen.mask else None

        def cut(batch: int) -> CubeSource:
            return CubeSource(
                reader,
                batch=batch,
                region=chosen.region,
                mask=mask,
                bin=chosen.bin,
                around=chosen.prior == "neighbours",
            )

        whole = cut(4096)
        recipe = OpticalRecipe(
            whole.header, chosen, choose_fitter(devices), devices[0], config.engine.seed
        )
    except BaseException:
        reader.close()
        raise
    grain = chosen.bin**2
    return Stage(
        name=whole.name,
        recipe=recipe,
        cut=cut,
        cost=Cost(
            batch=whole.spaxel_nbytes,
            work=-(-recipe.spaxel_work_nbytes // grain),
            row=-(-row_nbytes(recipe.schema) // grain),
            held=whole.held_nbytes,
        ),
        spaxels=len(whole) * grain,
        grain=grain,
        area=whole.area,
        header={**_plain(whole.header), "bin": chosen.bin, "area": str(whole.area)},
        provider=provider_name(devices),
        notes=(*whole.header.notes, *recipe.notes),
        close=reader.close,
    )


def open_xray(config: RunConfig) -> Stage:
    """Open X-ray observations for the stage `deconvolve`."""
    from .xray_stage import open_deconvolve

    return open_deconvolve(config)


def find_devices(spec: str) -> tuple[str, ...]:
    """Name the devices the fits run on.

    Raises
    ------
    DeviceError
        If one is not there.
    """
    try:
        return resolve_device(spec)
    except DeviceMissingError as error:
        raise DeviceError(str(error)) from error


def provider_name(devices: tuple[str, ...]) -> str:
    """Say what runs the fits, for the manifest and the live view."""
    return "numba on cpu" if devices == ("cpu",) else f"onnxruntime on {', '.join(devices)}"


def row_nbytes(schema: pa.Schema) -> int:
    """Memory one row takes [bytes]."""
    return sum(_value_nbytes(field.type) for field in schema)


def _value_nbytes(kind: pa.DataType) -> int:
    """Memory one value takes; 64 bytes are assumed of text."""
    if pa.types.is_fixed_size_list(kind):
        return kind.list_size * _value_nbytes(kind.value_type)
    return kind.bit_width // 8 if pa.types.is_primitive(kind) else 64


def _plain(header: CubeHeader) -> dict[str, Any]:
    """Give what JSON can hold of a header: all but the axis, which is in the input."""
    fields = (field.name for field in dataclasses.fields(header) if field.name != "axis")
    found = {name: getattr(header, name) for name in fields}
    found["celestial"] = {
        card: value.item() if isinstance(value, np.generic) else value
        for card, value in header.celestial.items()
    }
    return found
