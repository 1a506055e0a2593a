"""Stacks of real and simulated observations, by the network, through whole runs."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.ndimage import gaussian_filter1d

from streamfit.io.table import read_table
from streamfit.kernels.plasma import flux_density
from streamfit.kernels.response import ENERGY_EDGES
from streamfit.kernels.xray_model import MODELS
from streamfit.models.plasma_table import load_plasma
from streamfit.stream.cli import main
from streamfit.tools.simulate_xray import simulate
from streamfit.tools.xray_plan import XrayPlan

pytestmark = pytest.mark.slow

INSIDE = (ENERGY_EDGES[:-1] >= 0.6) & (ENERGY_EDGES[1:] <= 6.5)


def run(files, folder, *words):
    usual = ("--no-tui", "--threads", "1", "-o", str(folder))
    assert main(["xray", *map(str, files), *usual, *words]) == 0
    return read_table(folder / "fit").to_pylist()


def spectrum(row, name):
    return np.array(row[name])[INSIDE]


def test_observations_of_a_jet_agree_with_their_joint_fit(shared_data, tmp_path):
    """4C19.44: the band narrows as the square root of the counts above the background."""
    files = [shared_data / "xray" / f"obs{number}.pi" for number in (1, 3, 4)]
    words = ("--model", "powerlaw", "--nh", "0.02")
    (row,) = run(files, tmp_path / "stack", "--stack-by", "group", *words)
    alone = run(files, tmp_path / "alone", *words)
    assert row["members"] == [path.name for path in files]
    assert row["target"] == "4C19.44"
    model = MODELS["powerlaw"]
    table = load_plasma()
    photons = model.photons(table, np.array([row[name] for name in model.names]))
    fitted = np.log(flux_density(table.edges, photons, ENERGY_EDGES))[INSIDE]
    for name in ("stack", "joint"):
        away = spectrum(row, f"{name}_log_photon_flux") - fitted
        assert np.mean(np.abs(away) < 1.5 * spectrum(row, f"{name}_sigma")) > 0.95
    parts = np.array([one["index"] for one in alone]), np.array([one["index_err"] for one in alone])
    weight = np.square(1.0 / parts[1])
    assert row["index"] == pytest.approx((weight * parts[0]).sum() / weight.sum(), abs=0.15)
    assert row["index_err"] == pytest.approx(1.0 / np.sqrt(weight.sum()), rel=0.15)
    rows = read_table(tmp_path / "stack" / "deconvolve").to_pylist()
    net = np.array([one["counts"] - one["background_counts"] for one in rows])
    single = np.array([np.median(spectrum(one, "log_photon_flux_sigma")) for one in rows])
    expected = np.median(single * np.sqrt(net / net.sum()))
    assert np.median(spectrum(row, "stack_sigma")) == pytest.approx(expected, rel=0.15)


def test_with_factors_a_wrong_area_does_not_spoil_the_stack_of_all_four(shared_data, tmp_path):
    """The ARF of the second observation of 4C19.44 is 16 times too low."""
    files = [shared_data / "xray" / f"obs{number}.pi" for number in (1, 2, 3, 4)]
    words = ("--model", "powerlaw", "--nh", "0.02", "--stack-by", "group")
    (tied,) = run(files, tmp_path / "tied", *words)
    (row,) = run(files, tmp_path / "free", *words, "--norms", "free")
    (three,) = run([files[0], *files[2:]], tmp_path / "three", *words)
    assert "obs2.pi: 13 ± 4 of the first; give --norms free" in tied["notes"]
    assert tied["norms_probability"] < 1e-6 < three["norms_probability"]
    assert row["factors"][1] == pytest.approx(13.0, abs=3.0)
    assert row["index"] == pytest.approx(three["index"], abs=0.15)
    assert row["index_err"] < three["index_err"]
    model, table = MODELS["powerlaw"], load_plasma()
    photons = model.photons(table, np.array([row[name] for name in model.names]))
    fitted = np.log(flux_density(table.edges, photons, ENERGY_EDGES))[INSIDE]
    for name in ("stack", "joint"):
        away = spectrum(row, f"{name}_log_photon_flux") - fitted
        assert np.mean(np.abs(away) < 2.0 * spectrum(row, f"{name}_sigma")) == 1.0
    rows = read_table(tmp_path / "free" / "deconvolve").to_pylist()
    net = np.array([one["counts"] - one["background_counts"] for one in rows])
    single = np.array([np.median(spectrum(one, "log_photon_flux_sigma")) for one in rows])
    expected = np.median(single * np.sqrt(net / net.sum()))
    assert np.median(spectrum(row, "stack_sigma")) == pytest.approx(expected, rel=0.15)


def test_the_jackknife_tells_a_member_whose_area_is_wrong(shared_data, tmp_path):
    """The ARF of the second observation of 4C19.44 is 16 times too low."""
    ratio = []
    for numbers in ((1, 3, 4), (1, 2, 3, 4)):
        files = [shared_data / "xray" / f"obs{number}.pi" for number in numbers]
        words = ("--stack-by", "group", "--model", "powerlaw", "--nh", "0.02")
        (row,) = run(files, tmp_path / f"run{len(numbers)}", *words)
        ratio.append(row["stack_ratio"])
    assert ratio[0] < 1.0 < ratio[1]


def test_many_faint_observations_give_what_their_counts_can(tmp_path):
    """Two plasmas, sixteen observations of 100 counts each through four responses."""
    plan = XrayPlan(
        tmp_path / "data",
        number=32,
        counts=(100, 100),
        models=("thermal",),
        responses=4,
        sources=2,
        background=0.0,
        seed=5,
    )
    truth = pq.read_table(simulate(plan)).to_pylist()[:2]
    rows = ["obs,group,redshift,nh"]
    rows += [
        f"obs{number:04d},{number % 2},{truth[number % 2]['redshift']},{truth[number % 2]['nH']}"
        for number in range(32)
    ]
    table = tmp_path / "groups.csv"
    table.write_text("\n".join(rows) + "\n")
    files = sorted(plan.folder.glob("obs*.pi"))
    found = run(files, tmp_path / "run", "--stack-by", str(table))
    for row, true in zip(found, truth, strict=True):
        assert len(row["members"]) == 16
        away = np.log(row["kT"] / true["kT"]) / (row["kT_err"] / row["kT"])
        assert abs(away) < 3.0
        errors = {name: l1(row, f"{name}_log_photon_flux", true) for name in ("stack", "joint")}
        assert errors["joint"] < 0.14  # 0.08 in the median of twelve
        assert errors["joint"] < errors["stack"]
        assert row["stack_ratio"] < 1.0


def l1(row, name, true):
    """Departure of smoothed photons, as docs/xray-accuracy.md has it."""
    width = np.diff(ENERGY_EDGES)
    found, wanted = (
        gaussian_filter1d(np.exp(np.array(values)) * width, 2.5, mode="nearest")[INSIDE]
        for values in (row[name], true["log_photon_flux"])
    )
    return np.abs(found - wanted).sum() / wanted.sum()
