"""X-ray observations opened for the stage `deconvolve`."""

from pathlib import Path

from ..io.errors import DeviceError, InputError
from ..io.observation_source import ObservationSource
from ..io.ogip import Links
from ..io.ogip_links import override
from ..models.card import CardError
from .budget import Cost
from .config import RunConfig, XrayConfig
from .stage import Stage, find_devices, row_nbytes
from .xray import XrayRecipe
from .xray_methods import UNFOLDERS, Method, choose_method

# An observation with its response takes megabytes, and larger batches are no faster.
_BATCH = 4
# A thread's arrays for the W statistic on native channels, and the last responses that were read.
_HELD_NBYTES = 128 << 20


def open_deconvolve(config: RunConfig) -> Stage:
    """Open the observations of a run.

    Raises
    ------
    InputError
        If a path is no file, a file given with --arf, --rmf or --background is not there, or the
        network's files are not there or not those of its card.
    DeviceError
        If the device asked for is not there.
    """
    chosen = config.xray
    links = links_of(chosen)
    method = open_method(chosen, config.engine.device)
    recipe = XrayRecipe(method)
    paths = [Path(path) for path in config.inputs]
    whole = ObservationSource(paths, links=links, batch=1)

    def then(run: Path) -> Stage:
        from .xray_fit_stage import open_fit

        return open_fit(config, whole, method, run)

    return Stage(
        name=whole.name,
        recipe=recipe,
        cut=whole.cut,
        cost=Cost(
            batch=whole.spaxel_nbytes,
            work=recipe.spaxel_work_nbytes,
            row=row_nbytes(recipe.schema),
            held=_HELD_NBYTES,
        ),
        spaxels=len(whole),
        area=None,
        header={"name": whole.name, "files": len(paths), "method": method.name},
        provider=method.provider,
        batch=_BATCH,
        rows="observations",
        table="deconvolve",
        then=None if chosen.no_fit else then,
    )


def links_of(chosen: XrayConfig) -> Links:
    """Give the files that stand in place of those the headers name.

    Raises
    ------
    InputError
        If one is not there.
    """
    for option in ("arf", "rmf", "background"):
        given = getattr(chosen, option)
        if given is not None:
            override(given, f"--{option}")
    return Links(rmf=chosen.rmf, arf=chosen.arf, background=chosen.background)


def open_method(chosen: XrayConfig, spec: str) -> Method:
    """Open the method of a configuration on a device.

    Raises
    ------
    InputError
        If the network's files are not there or not those of its card.
    DeviceError
        If the device asked for is not there, or of no use to the method.
    """
    devices = find_devices(spec)
    if devices != ("cpu",) and chosen.method in UNFOLDERS:
        raise DeviceError(
            f"--device {spec}: method {chosen.method} runs on the CPU alone; use --device cpu"
        )
    if len(devices) > 1:
        raise DeviceError(f"--device {spec}: X-ray runs use one device, not {len(devices)}")
    try:
        return choose_method(chosen.method, *devices)
    except CardError as error:
        raise InputError(
            f"--method {chosen.method}: the network cannot be used: {error}, or choose another "
            "method, for example --method map"
        ) from error
