"""The demo ends with a run, its maps, a picture and a table, wherever it is told to."""

from argparse import Namespace

import pytest

from streamfit.io.errors import StorageError
from streamfit.io.table import read_table
from streamfit.stream.demo import demo, demo_xray
from streamfit.tools.compare import report
from streamfit.tools.compare_xray import fits
from streamfit.tools.compare_xray import report as compare_xray
from streamfit.tools.cube_plan import CubePlan
from streamfit.tools.simulate_cube import simulate
from streamfit.tools.simulate_xray import simulate as simulate_xray
from streamfit.tools.xray_plan import XrayPlan


def small(path):
    """A corner of the galaxy, as fast as it is simulated."""
    return simulate(CubePlan(path, scene="disk", shape=(12, 14), channels=420, snr=(10, 100)))


def arguments(folder) -> Namespace:
    return Namespace(output=folder, no_tui=True, log_file=None)


def test_the_demo_leaves_a_run_maps_and_a_picture_and_prints_a_table(tmp_path, capsys):
    folder = tmp_path / "new" / "demo"
    assert demo(arguments(folder), simulate=small, compare=report) == 0
    assert read_table(folder / "run" / "fit").num_rows == 12 * 14
    assert (folder / "demo.png").stat().st_size > 30_000
    assert {"velocity.fits", "Halpha_flux.fits", "overview.png"} <= {
        path.name for path in (folder / "maps").iterdir()
    }
    printed = capsys.readouterr()
    assert "Halpha_flux" in printed.out
    assert "chi2/dof" in printed.out
    assert "demo.png" in printed.err
    assert demo(arguments(folder), simulate=small, compare=report) == 0  # over the old one


def few(folder):
    """Four observations."""
    models = ("powerlaw", "thermal")
    return simulate_xray(XrayPlan(folder, number=4, counts=(1e3, 1e4), responses=1, models=models))


def test_the_demo_of_x_rays_leaves_a_run_spectra_and_a_picture(tmp_path, capsys):
    folder = tmp_path / "demo"
    method = {"method": "richardson-lucy"}
    assert (
        demo_xray(arguments(folder), simulate=few, compare=compare_xray, hold=fits, **method) == 0
    )
    assert read_table(folder / "run" / "deconvolve").num_rows == 4
    assert (folder / "demo.png").stat().st_size > 20_000
    names = sorted(path.name for path in (folder / "spectra").iterdir())
    assert names == [f"obs000{number}.fits" for number in range(4)]
    printed = capsys.readouterr()
    assert "Deconvolved against true" in printed.out
    assert "Fitted (apec1) against true" in printed.out
    assert "Fitted (powerlaw) against true" in printed.out
    assert read_table(folder / "run" / "fit").num_rows == 4
    assert "four spectra beside their truth" in printed.err


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match=r"taken: cannot be made .*name another folder with -o"):
        demo(arguments(tmp_path / "taken"), simulate=small, compare=report)
