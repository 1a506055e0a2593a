"""Fitted cubes agree with their truth as well as their errors say.

The whole path is held to it: simulated file, reader, noise, seeds, fit, table. A cube has 96 x 96
spaxels, of which about 6000 lie above a signal-to-noise ratio of 10: chance moves the median of
their pulls by 0.016 and a robust width by 1.5 %.
"""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from streamfit.io.table import read_table
from streamfit.stream.config import OpticalConfig, RunConfig
from streamfit.stream.run import start_run
from streamfit.tools.agreement import Comparison, compare
from streamfit.tools.cube_plan import CubePlan
from streamfit.tools.simulate_cube import simulate

pytestmark = pytest.mark.slow


def agreement(folder: Path, optical: OpticalConfig | None = None, **options) -> Comparison:
    """Simulate, fit and compare."""
    plan = CubePlan(folder / "cube", **{"shape": (96, 96), "snr": (3.0, 100.0), **options})
    truth = pq.read_table(simulate(plan))
    config = RunConfig("optical", str(plan.path), optical=optical or OpticalConfig())
    assert start_run(config, folder / "run").state == "done"
    return compare(read_table(folder / "run" / "fit"), truth)


def assert_honest(found: Comparison, *, wrong: float = 0.002) -> None:
    """Assert what is promised of a fit: no bias, true errors, at most a few wrong velocities."""
    quantities, detection = found.above(10)
    checked = [name for name in quantities if name.endswith(("_flux", "velocity", "broadening"))]
    assert len(checked) >= 4
    for name in checked:
        quantity = quantities[name]
        assert quantity.n > 0.97 * detection.n, name
        assert abs(quantity.pull_median) < 0.1, (name, quantity.pull_median)
        assert 0.95 < quantity.pull_width < 1.05, (name, quantity.pull_width)
        assert quantity.within_2 == pytest.approx(0.95, abs=0.015), name
    assert detection.undetected < 0.001
    _, seen = found.above(5)
    assert seen.wrong < wrong
    assert seen.undetected < 0.01
    assert seen.chi2_dof == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("layout", "calibrated", "seed"),
    [("level1", True, 1), ("level2", True, 2), ("level2", False, 3), ("level3", True, 4)],
)
def test_sitelle_cubes_are_fitted_without_bias_and_with_true_errors(
    tmp_path, layout, calibrated, seed
):
    assert_honest(agreement(tmp_path, layout=layout, calibrated=calibrated, seed=seed))


# In SN1 the [OII] lines stand 220 km/s apart: broad and faint ones pass for one line between.
@pytest.mark.parametrize(("filter_name", "wrong"), [("SN1", 0.008), ("SN2", 0.002)])
def test_other_filters_are_fitted_as_well(tmp_path, filter_name, wrong):
    assert_honest(agreement(tmp_path, filter_name=filter_name, seed=7), wrong=wrong)


@pytest.mark.parametrize("layout", ["muse", "manga", "sami"])
def test_cubes_of_gratings_are_fitted_as_well(tmp_path, layout):
    shape = (48, 48) if layout == "sami" else (96, 96)
    resolution = {"muse": 2750.0, "sami": 4260.0}.get(layout)  # MaNGA's file says its own
    optical = OpticalConfig(resolution=resolution, redshift=0.03)
    found = agreement(tmp_path, optical, layout=layout, shape=shape, redshift=0.03, seed=9)
    quantities, detection = found.above(10)
    for name in ("velocity", "Halpha_flux", "NII6583_flux"):
        assert abs(quantities[name].pull_median) < 0.1, name
        assert 0.93 < quantities[name].pull_width < 1.07, name
    assert detection.wrong < 0.002
    assert detection.chi2_dof == pytest.approx(1.0, abs=0.02)


def test_a_bright_cube_shows_no_error_of_the_model(tmp_path):
    """At a ratio of 1000 a line shape, width or axis off by a part in a thousand would show."""
    found = agreement(tmp_path, shape=(48, 48), snr=(300.0, 1000.0), seed=11)
    quantities, detection = found.above(10)
    for name in ("velocity", "broadening", "Halpha_flux", "SII6716_flux"):
        assert abs(quantities[name].pull_median) < 0.15, (name, quantities[name].pull_median)
        assert 0.9 < quantities[name].pull_width < 1.1, (name, quantities[name].pull_width)
    assert detection.wrong < 0.001
