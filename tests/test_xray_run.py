"""The command xray through its first stage: files, run, products, and what can go wrong.

The second stage is in `test_xray_fit_stage.py`.
"""

import dataclasses
import json
import re

import numpy as np
import pytest
from astropy.io import fits
from ogip_files import arf, counts, observation, pha, pha2, rmf

from streamfit.io.errors import DeviceError, InputError
from streamfit.io.manifest import RunManifest
from streamfit.io.table import read_table
from streamfit.io.xray_columns import energy_edges
from streamfit.kernels.response import ENERGY_EDGES
from streamfit.stream import xray_methods
from streamfit.stream.cli import main
from streamfit.stream.config import XrayConfig
from streamfit.stream.directory import RunDirectory
from streamfit.stream.layers import build_config, read_run_toml
from streamfit.stream.xray_inspect import inspect_observation
from streamfit.stream.xray_methods import Unfolder
from streamfit.stream.xray_picture import groups
from streamfit.stream.xray_products import file_name, write_spectra
from streamfit.stream.xray_stage import open_method
from streamfit.stream.xray_table import locate


def observations(folder):
    """Five observations, one of them refused."""
    folder.mkdir()
    first = observation(folder, BACKFILE="b.pha")
    bad = pha(folder / "bad.pha", HDUCLAS2="NET")
    many = pha2(folder / "many.pha2", np.stack([counts(seed) for seed in range(3)]))
    return [first, bad, many]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return observations(tmp_path_factory.mktemp("files") / "data")


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    """A run that nothing changes."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert xray(files, folder) == 0
    return folder


@pytest.fixture
def own(tmp_path):
    """Files and a run of one's own."""
    files = observations(tmp_path / "data")
    assert xray(files, tmp_path / "run") == 0
    return files, tmp_path / "run"


def xray(files, folder, *words, method="isis"):
    words = ("--no-fit", "--method", method, "--no-tui", "--threads", "1", *words)
    return main(["xray", *map(str, files), "-o", str(folder), *words])


def test_a_bad_observation_does_not_stop_the_others(files, tmp_path, capsys):
    assert xray(files, tmp_path / "run") == 0
    table = read_table(tmp_path / "run" / "deconvolve")
    assert table.num_rows == 5
    assert [bool(reason) for reason in table["reason"].to_pylist()] == [0, 1, 0, 0, 0]
    said = capsys.readouterr()
    assert said.out == ""
    assert "no spectrum: bad.pha: HDUCLAS2 is NET" in said.err
    assert "done; spectra as FITS with: stream-fit maps" in said.err
    log = (tmp_path / "run" / "log.jsonl").read_text()
    events = [json.loads(line) for line in log.splitlines()]
    (refused,) = (event for event in events if event["event"] == "observation_refused")
    assert refused["obs"] == "bad.pha"
    assert refused["reason"].startswith("bad.pha: HDUCLAS2 is NET")


def test_the_run_says_what_it_was_told_and_where_it_stands(run, files, capsys):
    config = read_run_toml(run / "run.toml")
    assert config.stage == "xray"
    assert config.inputs == tuple(str(path) for path in files)
    assert config.xray == XrayConfig(method="isis", no_fit=True)
    manifest = RunManifest.read(run / "manifest.json")
    assert manifest.table["method"] == "isis"
    assert manifest.choices["xray.method"] == "isis"
    assert "optical.lines" not in manifest.choices
    assert list(manifest.fingerprint) == [str(path) for path in files]
    assert main(["status", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["spaxels_done"], found["no_data"]) == ("observations", 5, 1)
    assert main(["status", str(run)]) == 0
    assert "done, 5 of 5 observations (100.0 %)" in capsys.readouterr().out


def test_batches_and_threads_change_nothing(files, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert xray(files, one, "--batch", "1", method="richardson-lucy") == 0
    assert xray(files, two, "--batch", "4", "--threads", "3", method="richardson-lucy") == 0
    same_rows(*(read_table(folder / "deconvolve") for folder in (one, two)))


def same_rows(one, other):
    """Compare tables to the last bit, NaN included."""
    assert one.schema == other.schema
    assert str(one.to_pylist()) == str(other.to_pylist())


def test_files_of_the_user_stand_in_for_those_of_the_headers(tmp_path):
    rmf(tmp_path / "own.rmf")
    arf(tmp_path / "own.arf")
    orphan = pha(tmp_path / "orphan.pha", RESPFILE="none", ANCRFILE="none")
    assert xray([orphan], tmp_path / "without") == 0
    (reason,) = read_table(tmp_path / "without" / "deconvolve")["reason"].to_pylist()
    assert "RESPFILE names no response" in reason
    given = ["--rmf", str(tmp_path / "own.rmf"), "--arf", str(tmp_path / "own.arf")]
    assert xray([orphan], tmp_path / "with", *given) == 0
    (reason,) = read_table(tmp_path / "with" / "deconvolve")["reason"].to_pylist()
    assert reason == ""
    assert read_run_toml(tmp_path / "with" / "run.toml").xray.arf == str(tmp_path / "own.arf")


def test_resume_names_the_observation_that_changed(own, capsys):
    files, run = own
    part = next((run / "deconvolve").glob("part-*"))
    part.unlink()
    pha(files[0].with_name("b.pha"), counts(9), HDUCLAS2="BKG", EXPOSURE=7.0)
    assert main(["resume", str(run), "--no-tui"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"they or files they link to: {files[0]}; put" in said
    assert str(files[2]) not in said


def test_resume_refuses_a_network_with_other_weights(own, capsys):
    _, run = own
    manifest = run / "manifest.json"
    told = json.loads(manifest.read_text())
    told["table"]["weights"] = "0" * 64
    manifest.write_text(json.dumps(told))
    next((run / "deconvolve").glob("part-*")).unlink()
    assert main(["resume", str(run), "--no-tui"]) == 2
    assert "the table would change: weights" in capsys.readouterr().err


def test_resume_fills_what_is_missing_with_the_same_rows(own):
    _, run = own
    before = read_table(run / "deconvolve")
    next((run / "deconvolve").glob("part-*")).unlink()
    assert main(["resume", str(run), "--no-tui"]) == 0
    same_rows(read_table(run / "deconvolve"), before)


def test_a_dry_run_writes_nothing(files, tmp_path, capsys):
    words = ["xray", *map(str, files), "--method", "isis", "--no-fit", "--dry-run"]
    words += ["-o", str(tmp_path / "r")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "# 5 observations in 2 batches of 4" in said
    assert 'method = "isis"' in said
    assert "energy_edges" not in said
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone.pha", "-o", "r"], "gone.pha: no such file; give the path of a PHA file"),
        (["a.pha"], "xray: where to? give the directory of the run with -o RUN"),
        (["a.pha", "-o", "r", "--method", "magic"], "--method: magic is not"),
        (["a.pha", "-o", "r", "--arf", "no.arf"], "no.arf: no such file; give the path of one"),
        (["a.pha", "-o", "r", "--set", "xray.arff=1"], "did you mean xray.arf?"),
    ],
)
def test_what_the_user_can_mend_is_one_line(tmp_path, monkeypatch, capsys, words, said):
    observation(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["xray", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_without_its_weights_the_network_is_refused_in_one_line(monkeypatch, tmp_path):
    from streamfit.models import rim

    monkeypatch.setattr(rim, "RIM", tmp_path / "rim.onnx")
    with pytest.raises(InputError) as caught:
        open_method(XrayConfig(), "cpu")
    text = str(caught.value)
    assert text.startswith("--method rim: the network cannot be used: ")
    assert text.endswith("choose another method, for example --method map")
    assert "\n" not in text


def test_a_classical_method_refuses_a_gpu(monkeypatch):
    monkeypatch.setattr("streamfit.stream.xray_stage.find_devices", lambda spec: ("cuda:0",))
    with pytest.raises(DeviceError, match="method map runs on the CPU alone; use --device cpu"):
        open_method(XrayConfig(method="map"), "cuda")


def test_every_method_of_the_option_can_be_opened():
    for name in xray_methods.UNFOLDERS:
        assert build_config("xray", "a.pha", flags={"method": name}).xray.method == name
        assert open_method(XrayConfig(method=name), "auto").name == name


def test_maps_writes_a_spectrum_for_each_observation(files, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    assert xray(files, run, method="map") == 0
    assert main(["maps", str(run), "-o", str(out)]) == 0
    assert "4 spectra, 1 observations have none" in capsys.readouterr().err
    names = ["a.fits", "many_1.fits", "many_2.fits", "many_3.fits"]
    assert sorted(path.name for path in out.iterdir()) == names
    row = read_table(run / "deconvolve").to_pylist()[0]
    with fits.open(out / "a.fits", checksum=True) as file:
        file.verify("exception")
        found = file["INTRINSIC"].data
        log_flux, sigma = (
            np.array(row[name]) for name in ("log_photon_flux", "log_photon_flux_sigma")
        )
        np.testing.assert_allclose(found["FLUX"], np.exp(log_flux))
        np.testing.assert_allclose(found["FLUX_HI68"], np.exp(log_flux + sigma))
        np.testing.assert_allclose(found["ENERG_HI"], ENERGY_EDGES[1:])
        assert file["INTRINSIC"].columns["FLUX"].unit == "photon cm**-2 s**-1 keV**-1"
        assert file[0].header["OBJECT"] == "A test"
        assert file[0].header["EXPOSURE"] == 1000.0
        assert file[0].header["SFMETHOD"] == "map"
        # The table model of OGIP 92-009: five spectra of photons, along one parameter.
        assert file[0].header["HDUCLAS1"] == "XSPEC TABLE MODEL"
        assert file["PARAMETERS"].data["NUMBVALS"] == [5]
        spectra = file["SPECTRA"].data
        np.testing.assert_allclose(spectra["PARAMVAL"], file["PARAMETERS"].data["VALUE"][0])
        photons = np.exp(log_flux) * np.diff(ENERGY_EDGES)
        np.testing.assert_allclose(spectra["INTPSPEC"][2], photons, rtol=1e-6)
        np.testing.assert_allclose(spectra["INTPSPEC"][4], photons * np.exp(2 * sigma), rtol=1e-6)


def test_maps_takes_a_condition_and_refuses_what_only_maps_have(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["maps", str(run), "-o", str(out), "--where", "background_counts > 0"]) == 0
    assert [path.name for path in out.iterdir()] == ["a.fits"]
    assert main(["maps", str(run), "-o", str(out), "--where", "counts"]) == 2
    assert "is a number; compare it" in capsys.readouterr().err
    assert main(["maps", str(run), "-o", str(out), "--derive", "a=counts"]) == 2
    assert "--derive: an X-ray run has no maps" in capsys.readouterr().err


def test_files_of_the_same_name_are_told_apart():
    from collections import Counter

    names: Counter[str] = Counter()
    given = ("a.pi", "b/a.pi", "x.pha.gz", "many.pha2[12]", "a.pi", "..", "a b.fits")
    found = [file_name(name, names) for name in given]
    assert found == ["a", "b_a", "x", "many_12", "a_2", "spectrum", "a_b"]


def test_a_spectrum_that_is_negative_somewhere_can_be_written(files, tmp_path):
    assert xray(files, tmp_path / "run", method="inverse") == 0
    report = write_spectra(tmp_path / "run", tmp_path / "out")
    with fits.open(report.files[0]) as file:
        unknown = np.isnan(file["INTRINSIC"].data["FLUX"])
        assert unknown.any()
        assert np.all(file["SPECTRA"].data["INTPSPEC"][:, unknown] == 0.0)


def test_inspect_draws_an_observation_and_says_its_row(run, tmp_path, capsys):
    png = tmp_path / "a.png"
    assert main(["inspect", str(run), "a", "-o", str(png)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"a\.pha of .*\n\s+OBS_ID +123\n", said)
    assert re.search(r"refolded +w [\d.]+\n", said)
    assert re.search(r"expected +[\d.]+ in \d+ bins, less [\d.]+ that a fit follows\n", said)
    assert png.stat().st_size > 20_000
    assert main(["inspect", str(run), "many.pha2[2]"]) == 0
    assert "many.pha2[2]" in capsys.readouterr().out
    assert main(["inspect", str(run), "bad.pha"]) == 0
    assert "HDUCLAS2 is NET" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["b"], "no observation b; it has for example"),
        (["many.pha2"], "holds 3 spectra; give many.pha2[1] to many.pha2[3]"),
        (["many.pha2[4]"], "holds 3 spectra, none is number 4"),
        (["a", "b"], "names 2 observations; give one"),
        (["bad.pha", "-o", "x.png"], "bad.pha: no spectrum to draw: bad.pha: HDUCLAS2 is NET"),
    ],
)
def test_inspect_says_which_observation_it_cannot_draw(run, capsys, words, said):
    assert main(["inspect", str(run), *words]) == 2
    assert said in capsys.readouterr().err


def test_inspect_refuses_an_observation_that_changed(own):
    files, run = own
    pha(files[0], counts(8))
    with pytest.raises(InputError, match=r"a\.pha: changed since the run began"):
        inspect_observation(run, "a.pha")


def test_inspect_refuses_an_observation_that_is_gone(own):
    files, run = own
    files[0].unlink()
    with pytest.raises(InputError, match=r"a\.pha: no longer there; put it back"):
        inspect_observation(run, "a.pha")


def test_the_same_name_in_two_folders_needs_its_path(tmp_path):
    inputs = ("/one/a.pi", "/two/a.pi", "/two/b.pi.gz")
    with pytest.raises(InputError, match=r"2 observations are called a\.pi"):
        locate("a.pi", inputs, tmp_path)
    assert locate("/two/a.pi[3]", inputs, tmp_path)[0].as_posix() == "/two/a.pi"
    assert locate("/two/a.pi[3]", inputs, tmp_path)[1] == 2
    assert locate("b", inputs, tmp_path)[0].as_posix() == "/two/b.pi.gz"


def test_bins_are_grouped_until_they_hold_enough():
    expected = np.array([3.0, 8.0, 12.0, 1.0, 1.0, 9.0, 2.0])
    np.testing.assert_array_equal(groups(expected), [0, 2, 3])
    np.testing.assert_array_equal(groups(np.zeros(4)), [0])


def test_validate_takes_files_for_what_the_header_does_not_name(tmp_path, capsys):
    orphan = pha(tmp_path / "orphan.pha", RESPFILE="none", ANCRFILE="none")
    rmf(tmp_path / "own.rmf")
    arf(tmp_path / "own.arf")
    assert main(["validate", str(orphan)]) == 2
    words = ["--rmf", str(tmp_path / "own.rmf"), "--arf", str(tmp_path / "own.arf")]
    assert main(["validate", str(orphan), *words]) == 0
    assert "own.rmf with own.arf" in capsys.readouterr().out


def test_validate_refuses_files_of_a_response_for_a_cube(tmp_path, capsys):
    assert main(["validate", str(tmp_path / "cube.hdf5"), "--arf", "a.arf"]) == 2
    said = capsys.readouterr().err
    assert said.endswith(
        "cube.hdf5: --arf, --rmf and --background are for X-ray spectra; leave them out\n"
    )


def test_the_table_has_its_energies_and_the_directory_its_stage(run):
    np.testing.assert_array_equal(energy_edges(read_table(run / "deconvolve").schema), ENERGY_EDGES)
    assert RunDirectory(run).stage() == "xray"
    assert dataclasses.asdict(Unfolder("map"))["name"] == "map"


def test_real_observations_refold_but_where_a_reason_is_told(shared_data, tmp_path):
    data, run = shared_data / "xray", tmp_path / "run"
    jet = ("obs1.pi", "obs2.pi", "obs3.pi", "obs4.pi")
    names = ("12845.pi", "9774.pi", "q1127_src1.pi", "qso.pi", *jet, "sis0.pha")
    assert xray([data / name for name in names], run, method="rim") == 0
    asca = ["--arf", str(data / "sis0.arf"), "--rmf", str(data / "sis0.rmf")]
    assert xray([data / "sis0.pha"], tmp_path / "asca", *asca, method="rim") == 0
    found = read_table(run / "deconvolve").to_pylist()
    assert found.pop()["reason"].startswith("sis0.pha: RESPFILE names no response")
    found += read_table(tmp_path / "asca" / "deconvolve").to_pylist()
    for row in found:
        # A background that holds the source's events makes W come out low.
        odd = "events are in the background as well as in the source" in row["notes"]
        assert odd == (row["obs"] == "obs2.pi")
        # Its neighbouring bins differ by more than any spectrum's would (docs/xray-accuracy.md).
        most = 3.0 if row["obs"] == "12845.pi" else 2.0
        assert (abs(row["refold_z"]) < most) != odd, row["obs"]
        assert np.isfinite(row["log_photon_flux"]).all()
        assert np.isfinite(row["log_photon_flux_sigma"]).all()
    counts_of = {row["obs"]: (row["counts"], round(row["background_counts"])) for row in found}
    # Counts and background in 0.5 to 7 keV, as other tools count them.
    assert counts_of["q1127_src1.pi"] == (pytest.approx(64635, abs=30), 79)
    assert counts_of["9774.pi"] == (4037, 41)
    assert counts_of["12845.pi"] == (1678, 0)
