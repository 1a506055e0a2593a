"""Members of a run whose norms differ: what `--norms` tied and free write, say and show."""

import numpy as np
import pytest
from ogip_files import AREA, ENERGY, EXPOSURE, arf, observation, pha, redistribution

from streamfit.io.table import read_table
from streamfit.stream.cli import main

WRONG = 8.0  # times the area of one member's ARF is too low


def members(folder):
    """Three observations of a power law of index 1.7; the ARF of the second is wrong."""
    folder.mkdir()
    observation(folder)
    arf(folder / "low.arf", area=AREA / WRONG)
    flux = 2e-2 * np.sqrt(ENERGY[1:] * ENERGY[:-1]) ** -1.7
    expected = (flux * np.diff(ENERGY) * AREA * EXPOSURE) @ redistribution()
    generator = np.random.default_rng(11)
    return [
        pha(folder / f"{name}.pha", generator.poisson(expected), ANCRFILE=area)
        for name, area in (("one", "a.arf"), ("two", "low.arf"), ("three", "a.arf"))
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return members(tmp_path_factory.mktemp("files") / "data")


def fitted(files, folder, *words):
    usual = (
        "--method",
        "map",
        "--model",
        "powerlaw",
        "--nh",
        "0.001",
        "--no-tui",
        "--threads",
        "1",
    )
    assert main(["xray", *map(str, files), "-o", str(folder), *usual, *words]) == 0
    return read_table(folder / "fit").to_pylist()[0]


@pytest.fixture(scope="module")
def free(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "free"
    words = ("--stack-by", "group", "--norms", "free", "--bayes")
    return folder, fitted(files, folder, *words)


@pytest.fixture(scope="module")
def tied(files, tmp_path_factory):
    return fitted(files, tmp_path_factory.mktemp("runs") / "tied", "--stack-by", "group")


def test_a_free_fit_writes_every_members_factor_and_the_shape_of_those_that_are_right(
    free, files, tmp_path
):
    _, row = free
    without = fitted([files[0], files[2]], tmp_path / "two", "--stack-by", "group")
    factors, errors = np.array(row["factors"]), np.array(row["factors_err"])
    assert (factors[0], errors[0]) == (1.0, 0.0)
    assert factors[1] == pytest.approx(WRONG, abs=4 * errors[1])
    assert factors[2] == pytest.approx(1.0, abs=4 * errors[2])
    assert row["index"] == pytest.approx(without["index"], abs=2 * row["index_err"])
    assert row["index_err"] < without["index_err"]
    np.testing.assert_allclose(row["post_factors"], factors, rtol=0.02)
    np.testing.assert_allclose(row["post_factors_sigma"][1:], errors[1:], rtol=0.15)
    assert row["k_hat"] < 0.7
    assert row["notes"].startswith("norms differ: two.pha: ")
    assert row["dof"] == pytest.approx(3 * (without["dof"] + 3) / 2 - 5)


def test_a_tied_fit_says_that_members_disagree(tied, free):
    _, row = free
    assert tied["notes"].startswith("members disagree: with norms of their own cstat falls by ")
    assert "(probability below 1e-30); two.pha: " in tied["notes"]
    assert "of the first; give --norms free" in tied["notes"]
    assert tied["norms_fall"] == pytest.approx(tied["cstat"] - row["cstat"], abs=0.05)
    assert tied["norms_fall"] == pytest.approx(row["norms_fall"], abs=0.05)
    assert tied["norms_probability"] < 1e-20
    np.testing.assert_allclose(tied["factors"], row["factors"], rtol=1e-3)
    assert "post_factors" not in tied


def test_a_wrong_area_does_not_move_a_stack_made_with_factors(tied, free):
    _, row = free
    where = np.isfinite(row["stack_sigma"])
    joint = np.array(row["joint_log_photon_flux"])[where]

    def away(one):
        return np.median(np.abs(np.array(one["stack_log_photon_flux"])[where] - joint))

    assert away(row) < 0.05
    assert away(tied) > 0.5
    # Three members agree once each is over its factor.
    assert row["stack_ratio"] < 1.5 < tied["stack_ratio"]


def test_a_source_of_one_observation_has_no_factor_to_tell(files, tmp_path):
    alone = pha(files[0].parent / "alone.pha", OBJECT="B test")
    run = tmp_path / "run"
    fitted([*files[:2], alone], run, "--stack-by", "group", "--norms", "free", "--bayes")
    row = read_table(run / "fit").to_pylist()[1]
    assert (row["factors"], row["factors_err"]) == ([1.0], [0.0])
    assert (row["post_factors"], row["post_factors_sigma"]) == ([1.0], [0.0])
    assert np.isnan(row["norms_probability"])


def test_inspect_shows_the_factors(free, capsys):
    folder, row = free
    assert main(["inspect", str(folder), row["group"]]) == 0
    text = capsys.readouterr().out
    assert "of the first: two.pha" in text
    assert "norms free" in text
    assert "cstat falls by" in text


def test_a_picture_is_drawn_with_factors(free, tmp_path):
    folder, row = free
    assert main(["inspect", str(folder), row["group"], "-o", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_the_network_as_a_prior_knows_no_factors(files, tmp_path, capsys):
    words = ("--stack-by", "group", "--norms", "free", "--bayes", "--prior", "mdn", "--no-tui")
    where = ("-o", str(tmp_path / "run"), "--model", "apec1")
    assert main(["xray", *map(str, files), *where, *words]) == 2
    cure = "the network knows nothing of members' norms; give --norms tied or --prior flat"
    assert f"--prior mdn: {cure}" in capsys.readouterr().err
