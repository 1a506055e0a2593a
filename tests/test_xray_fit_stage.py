"""The second stage of the command xray: groups, rows, resume, and every way it can go wrong."""

import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from ogip_files import counts, observation, pha
from test_table_model import write as write_table_model

from streamfit.io.errors import InputError
from streamfit.io.results import FitStatus
from streamfit.io.table import read_table
from streamfit.kernels.xray_model import MODELS
from streamfit.stream import values
from streamfit.stream.cli import main
from streamfit.stream.directory import RunDirectory
from streamfit.stream.layers import build_config, read_run_toml

COLUMNS = (
    "group kT kT_err abundance abundance_err nH nH_err norm norm_err redshift cstat dof status"
)


def data(folder):
    """Four observations of two targets and one that is refused."""
    folder.mkdir()
    first = observation(folder, BACKFILE="b.pha")
    more = [
        pha(folder / f"{name}.pha", counts(seed), OBJECT=target)
        for name, seed, target in (("c", 5, "A test"), ("d", 6, "B test"), ("e", 7, "B test"))
    ]
    bad = pha(folder / "bad.pha", HDUCLAS2="NET")
    return [first, *more, bad]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return data(tmp_path_factory.mktemp("files") / "data")


def xray(files, folder, *words, model="powerlaw"):
    usual = ("--method", "map", "--model", model, "--no-tui", "--threads", "1")
    return main(["xray", *map(str, files), "-o", str(folder), *usual, *words])


@pytest.fixture(scope="module")
def alone(files, tmp_path_factory):
    """A run of single observations, with posteriors, that nothing changes."""
    folder = tmp_path_factory.mktemp("runs") / "alone"
    assert xray(files, folder, "--bayes", "--nh", "0.05") == 0
    return folder


@pytest.fixture(scope="module")
def stacked(files, tmp_path_factory):
    """A run of targets, that nothing changes."""
    folder = tmp_path_factory.mktemp("runs") / "stacked"
    assert xray(files, folder, "--stack-by", "group", "--nh", "0.05") == 0
    return folder


def same_rows(one, other):
    assert one.schema == other.schema
    assert str(one.to_pylist()) == str(other.to_pylist())


def test_every_observation_has_a_row_and_a_bad_one_says_why(alone):
    table = read_table(alone / "fit")
    assert table["group"].to_pylist() == ["a.pha", "c.pha", "d.pha", "e.pha", "bad.pha"]
    assert set(COLUMNS.split()) <= set(table.column_names)
    reasons = table["reason"].to_pylist()
    assert reasons[:4] == [""] * 4
    assert reasons[4].startswith("bad.pha: HDUCLAS2 is NET")
    rows = table.to_pylist()
    assert rows[4]["status"] == int(FitStatus.NO_DATA)
    assert np.isnan(rows[4]["norm"])
    assert np.isnan(rows[0]["kT"])  # a power law has none
    for row in rows[:4]:
        assert row["norm_err"] > 0
        assert row["post_index_q16"] < row["post_index_q50"] < row["post_index_q84"]
        assert row["post_index"] == pytest.approx(row["index"], abs=2 * row["index_err"])
        assert row["k_hat"] < 0.7
        assert np.isfinite(row["log_evidence"])
    for field in table.schema:
        assert {b"unit", b"description"} <= field.metadata.keys()


def test_the_run_says_which_table_and_prior_it_used_and_in_what_units(alone):
    schema = pq.read_schema(next((alone / "fit").glob("part-*")))
    told = {name.decode(): text.decode() for name, text in schema.metadata.items()}
    assert told["plasma"].startswith("as shipped (XSPEC mekal")
    assert "abundances angr" in told["plasma"]
    assert told["prior"] == "flat in the coordinates of the model over its ranges"
    run = read_run_toml(alone / "run.toml")
    assert run.xray.plasma == "shipped"
    assert run.xray.prior == "flat"
    assert 'conventions = "XSPEC: norm of a plasma' in (alone / "run.toml").read_text()


def test_targets_are_fitted_together_without_a_bad_member(stacked, alone):
    rows = read_table(stacked / "fit").to_pylist()
    assert [row["group"] for row in rows] == ["A test", "B test"]
    assert rows[0]["notes"].startswith("left out: bad.pha: HDUCLAS2 is NET")
    assert rows[0]["members"] == ["a.pha", "c.pha"]
    assert rows[1]["members"] == ["d.pha", "e.pha"]
    single = read_table(alone / "fit").to_pylist()
    assert rows[1]["counts"] == single[2]["counts"] + single[3]["counts"]
    assert rows[1]["dof"] == 2 * (single[2]["dof"] + 3) - 3
    assert rows[1]["index_err"] < single[2]["index_err"]
    # Two observations of the same source: the joint fit lies between those of each.
    found = sorted(row["index"] for row in single[2:4])
    assert found[0] - 0.1 < rows[1]["index"] < found[1] + 0.1


def test_the_stack_is_the_inverse_variance_mean_of_the_first_table(stacked):
    row = read_table(stacked / "fit").to_pylist()[1]
    spectra = {one["obs"]: one for one in read_table(stacked / "deconvolve").to_pylist()}
    flux, sigma = (
        np.array([spectra[name][column] for name in row["members"]])
        for column in ("log_photon_flux", "log_photon_flux_sigma")
    )
    weight = 1.0 / np.square(sigma)
    np.testing.assert_allclose(
        row["stack_log_photon_flux"], (weight * flux).sum(axis=0) / weight.sum(axis=0)
    )
    np.testing.assert_allclose(row["stack_sigma"], 1.0 / np.sqrt(weight.sum(axis=0)))
    assert row["stack_length"] >= 1.0
    assert np.isfinite(row["joint_log_photon_flux"]).all()
    assert np.mean(row["joint_sigma"]) < np.mean(sigma)


def test_a_table_says_groups_redshifts_and_columns(files, tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("obs,group,redshift,nh\na,one,0.1,0.03\nd.pha,one,0.2,\ne,two,0.3,0.04\n")
    run = tmp_path / "run"
    assert xray(files, run, "--stack-by", str(table), model="apec1") == 0
    rows = read_table(run / "fit").to_pylist()
    assert [row["group"] for row in rows] == ["one", "c.pha", "two", "bad.pha"]
    assert rows[0]["members"] == ["a.pha", "d.pha"]
    assert rows[0]["redshift"] == pytest.approx(0.15)
    assert "redshifts 0.1 to 0.2: members are aligned at 0.15" in rows[0]["notes"]
    # Flat counts have no column: the prior about 0.03 holds against them.
    assert rows[0]["nH"] < 0.06
    assert rows[2]["redshift"] == 0.3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("obs,source\na,one\n", "no column group, only obs, source; name one so"),
        ("obs,group\nzzz,one\n", "obs zzz is none of the 5 observations of the run, for example"),
        ("obs,group\na,one\na.pha,two\n", "obs a.pha has two rows; leave one out"),
        ("obs,group,redshift\na,one,x\n", "redshift x is not a number; leave it empty"),
        ("obs,group,redshift\na,one,-2\n", "redshift -2 of a is not above -1"),
        ("obs,group,nh\na,one,0\n", "nh 0 of a is not above 0"),
        ("obs,group,nh\na,g,0.1\nc,g,0.2\n", "group g has nh 0.1 and 0.2; give a group one column"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_in_one_line(files, tmp_path, capsys, text, said):
    table = tmp_path / "groups.csv"
    table.write_text(text)
    assert xray(files, tmp_path / "run", "--stack-by", str(table)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stack-by", "gone.csv"], "no such file; give obs, group, or a table of obs and group"),
        (["--plasma", "gone.fits"], "gone.fits: no such file; give an XSPEC table model"),
        (["--model", "magic"], "--model: magic is not one of apec1, apec2, powerlaw"),
        (["--against", "apec2"], "--against needs posteriors; add --bayes, or drop it"),
        (["--refine"], "--refine needs posteriors; add --bayes, or drop it"),
        (["--prior", "mdn"], "--prior needs posteriors; add --bayes, or drop it"),
        (["--bayes", "--against", "powerlaw"], "is the model that is fitted; give another"),
        (["--bayes", "--prior", "mdn"], "the network knows apec1 and apec2 from --method rim"),
        (["--nh", "0"], "--nh: 0 is not a number above 0"),
    ],
)
def test_what_the_user_can_mend_is_one_line(files, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert xray(files, tmp_path / "r", *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("library", ["dynesty", "greenlet"])
def test_refine_without_its_libraries_names_the_extra(
    files, tmp_path, monkeypatch, capsys, library
):
    monkeypatch.setitem(sys.modules, library, None)
    assert xray(files, tmp_path / "r", "--bayes", "--refine") == 2
    said = capsys.readouterr().err
    assert f"--refine: {library} is not installed; pip install 'stream-fit[bayes]'" in said


def test_without_its_weights_the_network_is_left_out_or_named(files, tmp_path, monkeypatch):
    from streamfit.stream import xray_density

    monkeypatch.setattr(xray_density, "GRAPH", tmp_path / "none.onnx")
    assert xray_density.open_network("cpu", required=False) is None
    monkeypatch.setattr(
        xray_density,
        "XrayNetwork",
        lambda device: (_ for _ in ()).throw(xray_density.CardError("x")),
    )
    with pytest.raises(InputError, match="the network of plasma parameters cannot be used: x, or"):
        xray_density.open_network("cpu", required=True)


def test_words_of_the_option_are_the_models():
    assert tuple(MODELS) == values.SOURCE_MODELS


def test_shared_options_belong_to_the_run_they_are_given_to(tmp_path):
    both = tmp_path / "both.toml"
    both.write_text("[optical]\nredshift = 0.1\nbayes = true\n[xray]\nredshift = 0.2\n")
    one = build_config("xray", "a.pha", files=[both], flags={"bayes": "true"})
    assert (one.xray.redshift, one.xray.bayes, one.optical.redshift) == (0.2, True, 0.1)
    other = build_config("optical", "a.fits", files=[both], sets=["redshift=0.3"])
    assert (other.optical.redshift, other.xray.redshift, other.xray.bayes) == (0.3, 0.2, False)


def test_batches_and_threads_change_nothing(files, tmp_path, alone):
    run = tmp_path / "run"
    assert xray(files, run, "--bayes", "--nh", "0.05", "--batch", "3", "--threads", "2") == 0
    same_rows(read_table(run / "fit"), read_table(alone / "fit"))


def test_status_names_the_stage(alone, capsys):
    assert main(["status", str(alone), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["stage"], found["stages"]) == ("fit", ["deconvolve", "fit"])
    assert (found["rows"], found["spaxels_total"], found["state"]) == ("sources", 5, "done")
    assert main(["status", str(alone)]) == 0
    assert "done, stage fit (2 of 2), 5 of 5 sources" in capsys.readouterr().out


def test_resume_fills_either_stage_with_the_same_rows(files, tmp_path):
    run = tmp_path / "run"
    assert xray(files, run, "--stack-by", "group") == 0
    before = {name: read_table(run / name) for name in ("deconvolve", "fit")}
    for lost in (["fit"], ["deconvolve"], ["deconvolve", "fit"]):
        for name in lost:
            for part in (run / name).glob("part-*"):
                part.unlink()
        assert main(["resume", str(run), "--no-tui"]) == 0
        for name, table in before.items():
            same_rows(read_table(run / name), table)
    assert main(["resume", str(run), "--no-tui"]) == 0


def test_resume_names_the_table_of_groups_that_changed(files, tmp_path, capsys):
    table = tmp_path / "groups.csv"
    table.write_text("obs,group\na,one\nc,one\n")
    run = tmp_path / "run"
    assert xray(files, run, "--stack-by", str(table)) == 0
    next((run / "fit").glob("part-*")).unlink()
    table.write_text("obs,group\na,one\nc,two\n")
    assert main(["resume", str(run), "--no-tui"]) == 2
    assert str(table) in capsys.readouterr().err


def test_a_run_between_its_stages_is_not_done(files, tmp_path):
    run = tmp_path / "run"
    assert xray(files, run) == 0
    manifest = json.loads((run / "manifest.json").read_text())
    assert [one["name"] for one in manifest["later"]] == ["fit"]
    from streamfit.stream.progress import Progress
    from streamfit.stream.snapshot import Setting

    progress = Progress(Setting("x", 5, 2, stage="deconvolve", stages=("deconvolve", "fit")))
    progress.end("done")
    progress.write(run / "progress.json")
    assert json.loads((run / "progress.json").read_text())["state"] == "running"
    assert RunDirectory(run).status()["state"] == "killed"


def test_no_fit_stops_after_the_first_stage(files, tmp_path):
    assert xray(files, tmp_path / "run", "--no-fit") == 0
    assert not (tmp_path / "run" / "fit").exists()
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["later"] == []


def test_inspect_tells_and_draws_a_source(alone, stacked, tmp_path, capsys):
    png = tmp_path / "a.png"
    assert main(["inspect", str(alone), "a", "-o", str(png)]) == 0
    said = capsys.readouterr().out
    assert "powerlaw at redshift 0" in said
    assert "ln evidence" in said
    assert png.stat().st_size > 40_000
    assert main(["inspect", str(stacked), "B test"]) == 0
    assert "2, d.pha first" in capsys.readouterr().out
    assert main(["inspect", str(stacked), "d"]) == 0  # a member: its own deconvolution
    assert "refolded" in capsys.readouterr().out
    assert main(["inspect", str(alone), "bad.pha", "-o", str(png)]) == 2
    assert "bad.pha: no fit to draw: bad.pha: HDUCLAS2 is NET" in capsys.readouterr().err


def test_inspect_refuses_a_source_whose_member_went_or_changed(tmp_path, capsys):
    own = data(tmp_path / "data")[1:3]
    assert xray(own, tmp_path / "run") == 0
    pha(own[0], counts(8), OBJECT="A test")
    assert main(["inspect", str(tmp_path / "run"), "c"]) == 2
    assert "c.pha: changed since the run began, it or a file it links to" in capsys.readouterr().err
    own[0].unlink()
    assert main(["inspect", str(tmp_path / "run"), "c"]) == 2
    assert "c.pha: no longer there; put it back where the run found it" in capsys.readouterr().err


def test_maps_writes_what_was_fitted_into_the_headers(alone, tmp_path):
    assert main(["maps", str(alone), "-o", str(tmp_path / "out")]) == 0
    row = read_table(alone / "fit").to_pylist()[0]
    header = fits.getheader(tmp_path / "out" / "a.fits")
    assert header["FITMODEL"] == "powerlaw"
    assert header["FITSTAT"] == pytest.approx(row["cstat"])
    assert header["INDEX"] == pytest.approx(row["index"])
    assert header["INDEXERR"] == pytest.approx(row["index_err"])


def test_one_temperature_is_held_against_two(files, tmp_path):
    run = tmp_path / "run"
    assert xray(files[2:3], run, "--bayes", "--against", "apec1") == 0
    (row,) = read_table(run / "fit").to_pylist()
    assert np.isfinite(row["log_bayes_factor"])


def test_a_plasma_table_of_the_user_is_fitted_with_and_named(files, tmp_path, capsys):
    """The shipped table, thinned and written as XSPEC has it, gives the shipped table's fit."""
    own = tmp_path / "own.fits"
    write_table_model(own)
    usual, other = tmp_path / "usual", tmp_path / "other"
    assert xray(files[1:2], usual, "--nh", "0.05", model="apec1") == 0
    assert xray(files[1:2], other, "--nh", "0.05", "--plasma", str(own), model="apec1") == 0
    tables = [read_table(run / "fit") for run in (usual, other)]
    one, two = (table.to_pylist()[0] for table in tables)
    assert two["norm"] == pytest.approx(one["norm"], rel=0.05)
    assert two["cstat"] == pytest.approx(one["cstat"], abs=1.0)
    assert tables[1].schema.metadata[b"plasma"] == b"mekal of own.fits"
    assert f'plasma = "{own}"' in (other / "run.toml").read_text()
    next((other / "fit").glob("part-*")).unlink()
    own.unlink()
    write_table_model(own, additional=True, names=("kT", "Abundanc"))
    assert main(["resume", str(other), "--no-tui"]) == 2
    assert str(own) in capsys.readouterr().err


def test_the_network_starts_the_fit_and_may_be_its_prior(files, tmp_path):
    run = tmp_path / "run"
    words = ["xray", str(files[0]), "-o", str(run), "--no-tui", "--threads", "1", "--nh", "0.05"]
    assert main([*words, "--bayes", "--prior", "mdn", "--prior-width", "3"]) == 0
    table = read_table(run / "fit")
    (row,) = table.to_pylist()
    names = [f"mdn_{name}{end}" for name in MODELS["apec1"].names for end in ("", "_sigma")]
    assert {*names, "mdn_two"} <= set(table.column_names)
    known = not row["status"] & FitStatus.MDN_OUT_OF_RANGE
    assert np.isfinite(row["mdn_kT"]) == known
    assert table.schema.metadata[b"prior"] == b"density of the network, 3 times as wide"
    assert len(table.schema.metadata[b"network"]) == 64


def test_rows_whose_weights_fail_are_flagged_or_sampled_anew(files, tmp_path, monkeypatch):
    from dataclasses import replace

    from streamfit.stream import xray_fit

    sample, asked = xray_fit.sample, []
    monkeypatch.setattr(xray_fit, "sample", lambda *a, **k: replace(sample(*a, **k), k_hat=0.9))

    def nested(task, *, prior, seed):
        asked.append(seed)
        return replace(
            sample(task, xray_fit.fit(task, xray_fit.default_starts(task))), k_hat=np.nan
        )

    monkeypatch.setattr(xray_fit, "nested", nested)
    assert xray(files[2:3], tmp_path / "rough", "--bayes") == 0
    (row,) = read_table(tmp_path / "rough" / "fit").to_pylist()
    assert row["status"] & FitStatus.POSTERIOR_ROUGH
    assert (row["post_method"], asked) == ("importance", [])
    made = sample
    monkeypatch.setattr(xray_fit, "sample", lambda *a, **k: replace(made(*a, **k), settled=False))
    assert xray(files[2:3], tmp_path / "apart", "--bayes") == 0
    (row,) = read_table(tmp_path / "apart" / "fit").to_pylist()
    assert row["k_hat"] < 0.7
    assert row["status"] & FitStatus.POSTERIOR_ROUGH
    assert row["notes"] == "rounds of the sampler disagree in the evidence; give --refine"
    assert xray(files[2:3], tmp_path / "anew", "--bayes", "--refine") == 0
    (row,) = read_table(tmp_path / "anew" / "fit").to_pylist()
    assert not row["status"] & FitStatus.POSTERIOR_ROUGH
    assert row["post_method"] == "nested"
    assert len(asked) == 1
