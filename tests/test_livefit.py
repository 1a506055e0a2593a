"""What the live view draws of the second X-ray stage."""

import numpy as np
import pyarrow as pa

from streamfit.io.results import FitStatus
from streamfit.kernels.plasma import flux_density
from streamfit.kernels.response import ENERGY_EDGES
from streamfit.kernels.xray_model import MODELS
from streamfit.models.plasma_table import load_plasma
from streamfit.stream.livefit import LiveFit

MODEL = MODELS["powerlaw"]


def rows(status):
    values = {"index": 1.7, "nH": 0.05, "norm": 1e-4}
    columns = {name: [value, 2 * value] for name, value in values.items()}
    columns |= {f"{name}_err": [0.1 * value, 0.1 * value] for name, value in values.items()}
    return pa.RecordBatch.from_pydict(
        {
            "group": ["a", "b"],
            "redshift": [0.0, 0.0],
            "status": pa.array(status, pa.int32()),
            **columns,
        }
    )


def test_the_last_source_that_was_fitted_is_drawn():
    live = LiveFit(MODEL, load_plasma())
    assert live.pictures() == ()
    live.add(rows([int(FitStatus.NO_DATA)] * 2))
    assert live.pictures() == ()
    live.add(rows([0, int(FitStatus.NO_DATA)]))
    (curve,) = live.pictures()
    assert curve.label.startswith("a, index 1.70 ± 0.17, nH")
    table = load_plasma()
    photons = MODEL.photons(table, np.array([1.7, 0.05, 1e-4]))
    expected = np.log(flux_density(table.edges, photons, ENERGY_EDGES))
    np.testing.assert_allclose(curve.log_flux, expected)
    assert np.nanmax(curve.raster(60, 20)) == 1.0
