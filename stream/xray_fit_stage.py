"""X-ray sources opened for the stage `fit`, which follows the deconvolution in the same run."""

from pathlib import Path

from ..io.errors import InputError
from ..io.group_source import GroupSource
from ..io.observation_source import ObservationSource
from ..io.table_model import read_table_model
from ..kernels.plasma import PlasmaTable, from_grid
from ..kernels.xray_model import MODELS
from ..models.card import load_card
from ..models.plasma_table import PLASMA, load_plasma
from .budget import Cost
from .config import RunConfig, XrayConfig
from .extras import require
from .livefit import LiveFit
from .stage import Stage, find_devices, row_nbytes
from .xray_density import PLASMAS, open_network
from .xray_fit import Choices, XrayFitRecipe
from .xray_groups import are_stacked, groups_of, stack_file
from .xray_methods import Method
from .xray_norms import FREE, TIED

TABLE = "fit"
"""Folder of the second table of an X-ray run."""

SHIPPED = "shipped"
"""Word of `--plasma`."""

# The plasma table in double precision, its copy at a redshift, and the sampler's draws.
_HELD_NBYTES = 96 << 20
# Native matrices in double precision, dense where a response is full.
_FITTED = 4


def open_fit(
    config: RunConfig, observations: ObservationSource, method: Method, run: Path
) -> Stage:
    """Open the second stage of a run.

    Parameters
    ----------
    config : RunConfig
    observations : ObservationSource
        Of the first stage.
    method : Method
        That deconvolves.
    run : Path
        The run directory, whose first table is read.

    Raises
    ------
    InputError
        If a table of groups or a plasma table cannot be used, or something asked for is not
        installed.
    DeviceError
        If the device asked for is not there.
    """
    chosen = config.xray
    groups = groups_of(observations, chosen)
    recipe = open_recipe(chosen, config, method, stacked=are_stacked(groups))
    files = [] if chosen.plasma == SHIPPED else [Path(chosen.plasma)]
    table = stack_file(chosen)
    source = GroupSource(
        observations,
        groups,
        run / "deconvolve",
        files=files if table is None else [*files, table],
    )
    return Stage(
        name=observations.name,
        recipe=recipe,
        cut=source.cut,
        cost=Cost(
            batch=source.spaxel_nbytes,
            work=recipe.spaxel_work_nbytes + _FITTED * source.spaxel_nbytes,
            row=row_nbytes(recipe.schema),
            held=_HELD_NBYTES,
        ),
        spaxels=len(source),
        area=None,
        header={},
        provider="numpy on cpu",
        batch=1,
        rows="sources",
        notes=_notes(chosen, groups_have_redshift=any(any(one.redshifts) for one in groups)),
        table=TABLE,
        picture=lambda: LiveFit(recipe.choices.model, recipe.table),
    )


def open_recipe(
    chosen: XrayConfig, config: RunConfig, method: Method, *, stacked: bool
) -> XrayFitRecipe:
    """Open the recipe of the second stage; `stacked` where a group has more than one member.

    Raises
    ------
    InputError, DeviceError
        As of `open_fit`.
    """
    if chosen.refine:
        for library in ("dynesty", "greenlet"):
            require(library, "--refine")
    model = MODELS[chosen.model]
    wanted = chosen.prior == "mdn"
    if wanted and (model.name not in PLASMAS or method.name != "rim"):
        raise InputError(
            f"--prior mdn: the network knows {' and '.join(PLASMAS)} from --method rim, not "
            f"{model.name} from {method.name}; give --prior flat"
        )
    if wanted and chosen.norms == FREE:
        raise InputError(
            "--prior mdn: the network knows nothing of members' norms; give --norms tied or "
            "--prior flat"
        )
    (device,) = find_devices(config.engine.device)[:1]
    network = open_network(device, required=wanted) if model.name in PLASMAS else None
    plasma, about = open_plasma(chosen.plasma)
    told = {
        "about": f"{model.name}, {'shipped plasma table' if chosen.plasma == SHIPPED else about}",
        "plasma": about,
        "stack_by": chosen.stack_by if stack_file(chosen) is None else "a table",
    }
    if stacked:
        told["norms"] = chosen.norms
    if chosen.bayes:
        told["prior"] = _prior_words(chosen)
    if network is not None and method.name == "rim":
        told["network"] = network.card.sha256
    choices = Choices(
        model=model,
        against=MODELS[chosen.against] if chosen.against else None,
        bayes=chosen.bayes,
        refine=chosen.refine,
        prior_width=chosen.prior_width if wanted else None,
        stacked=stacked,
        tied=chosen.norms == TIED,
        seed=config.engine.seed,
    )
    return XrayFitRecipe(choices, plasma, method, network, told)


def open_plasma(path: str) -> tuple[PlasmaTable, str]:
    """Open the table of thermal spectra, and say what it is.

    Parameters
    ----------
    path : str
        Of an additive table model of XSPEC, or "shipped" for the table that is shipped, whose
        absorption is taken in either case.

    Raises
    ------
    InputError
        If it is not there or no such table.
    """
    shipped = load_plasma()
    if path == SHIPPED:
        told = load_card(PLASMA).training
        return shipped, f"as shipped ({told['emission']}; {told['absorption']})"
    if not Path(path).is_file():
        raise InputError(f"--plasma {path}: no such file; give an XSPEC table model")
    found = read_table_model(Path(path))
    table = from_grid(found.edges, found.temperature, found.abundance, found.photons, shipped)
    return table, f"{found.name} of {Path(path).name}"


def _prior_words(chosen: XrayConfig) -> str:
    """Say what the prior is."""
    if chosen.prior == "flat":
        return "flat in the coordinates of the model over its ranges"
    return f"density of the network, {chosen.prior_width:g} times as wide"


def _notes(chosen: XrayConfig, *, groups_have_redshift: bool) -> tuple[str, ...]:
    """Say what is assumed of all sources."""
    if chosen.redshift is not None or groups_have_redshift or chosen.model == "powerlaw":
        return ()
    return ("no redshift is given: 0 is taken for all sources; give --redshift or a table",)
