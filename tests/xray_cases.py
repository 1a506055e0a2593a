"""Small X-ray sources that tests share: a coarse plasma table, a coarse detector."""

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array
from scipy.special import ndtr

from streamfit.kernels.plasma import PlasmaTable, rebin
from streamfit.kernels.xray_fit import Member, Task
from streamfit.kernels.xray_model import MODELS
from streamfit.models.plasma_table import load_plasma

EDGES = np.geomspace(0.4, 9.0, 61)  # keV, of photon energies
CHANNELS = np.linspace(0.5, 7.0, 41)  # keV
AREA_TIME = 5e6  # cm2 s
USUAL = {
    "apec1": [4.0, 0.5, 0.1, 1e-3],
    "apec2": [5.0, 0.5, 0.1, 1e-3, 1.0, 0.5],
    "powerlaw": [1.8, 0.2, 3e-4],
    "apec1+powerlaw": [2.0, 0.5, 0.1, 5e-4, 1.5, 1e-4],
}


@lru_cache(maxsize=1)
def table() -> PlasmaTable:
    """Give the shipped table on 120 bins."""
    full = load_plasma()
    edges = np.geomspace(0.3, 12.0, 121)
    centre, known = (np.sqrt(one[1:] * one[:-1]) for one in (edges, full.edges))
    return PlasmaTable(
        edges,
        full.temperature,
        rebin(full.edges, full.primordial, edges),
        rebin(full.edges, full.metals, edges),
        np.exp(np.interp(np.log(centre), np.log(known), np.log(full.cross_section))),
    )


@lru_cache(maxsize=1)
def matrix() -> csr_array:
    """Give counts in 40 channels for photons in 60 bins: Gaussians of 60 eV."""
    centre = 0.5 * (EDGES[1:] + EDGES[:-1])
    spread = np.diff(ndtr((CHANNELS[:, None] - centre) / 0.06), axis=0)
    area = np.exp(-0.5 * np.square(np.log(centre / 1.5)))
    dense = AREA_TIME * area * spread
    return csr_array(np.where(dense > 1e-6 * dense.max(), dense, 0.0))


def expected(model: str, values, redshift: float = 0.0) -> np.ndarray:
    """Fold a source by the plain functions of `plasma`."""
    photons = MODELS[model].photons(table(), np.asarray(values, float), redshift)
    return matrix() @ rebin(table().edges, photons, EDGES)


def task(
    model: str = "apec1",
    *,
    counts: float = 3000.0,
    seed: int = 0,
    background: float = 0.0,
    scale: float = 0.25,
    members: int = 1,
    column=None,
) -> tuple[Task, np.ndarray]:
    """Draw a task and give its true values; the norm makes `counts` of the source a member."""
    generator = np.random.default_rng(seed)
    values = np.array(USUAL[model])
    source = expected(model, values)
    norms = [i for i, name in enumerate(MODELS[model].names) if name in ("norm", "index_norm")]
    factor = counts / source.sum()
    values[norms] *= factor
    made = []
    for _ in range(members):
        beside = background * counts / source.size
        made.append(
            Member(
                generator.poisson(factor * source + beside).astype(float),
                matrix(),
                EDGES,
                *(
                    (
                        generator.poisson(np.full(source.size, beside / scale)).astype(float),
                        np.full(source.size, scale),
                    )
                    if background
                    else ()
                ),
            )
        )
    return Task(tuple(made), MODELS[model], table(), column=column), values
