"""The command `explore`: chains, pictures, the table beside the run's posteriors, refusals."""

import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread
from test_inspect import fit, write_cube

from streamfit.io.errors import InputError
from streamfit.io.records import Area
from streamfit.stream import sampling
from streamfit.stream.cli import main
from streamfit.stream.explore import Asked, explore

pytest.importorskip("emcee", reason="needs the extra `bayes`")
pytest.importorskip("dynesty", reason="needs the extra `bayes`")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explore")
    cube = write_cube(folder / "small.fits")
    return fit(cube, folder / "run", bayes=True, prior="flat", no_mdn=True, resolution=2000.0)


def hear(asked):
    said = []
    explore(asked, said.append)
    return "\n".join(said)


def test_draws_agree_with_the_integrated_posterior(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "_STEPS", 400)
    text = hear(Asked(run, tmp_path / "out", Area(3, 4, 3, 4), "emcee", seed=1))
    assert "spaxel 3, 3, prior flat" in text
    assert "Halpha_flux" in text
    table = pq.read_table(tmp_path / "out" / "chain.parquet")
    assert set(table["x"].to_pylist()) == {3}
    assert set(table["prior"].to_pylist()) == {"flat"}
    metadata = table.schema.field("Halpha_flux").metadata
    assert metadata[b"unit"] == b"1e-20 erg / (s cm2)"
    assert table.schema.field("velocity").metadata[b"unit"] == b"km/s"
    stored = pq.ParquetDataset(run / "fit").read().to_pylist()
    row = next(one for one in stored if (one["x"], one["y"]) == (3, 3))
    here = np.array(table["x"]) == 3
    for name in ("velocity", "broadening", "Halpha_flux", "NII6583_flux"):
        values, sigma = np.array(table[name])[here], row[f"post_{name}_sigma"]
        # A few hundred independent draws: 5 % of a sigma, and 4 % of it, three times.
        assert values.mean() == pytest.approx(row[f"post_{name}"], abs=0.2 * sigma), name
        assert values.std() == pytest.approx(sigma, rel=0.2), name
    ratio = np.array(table["NII6583_flux"]) / np.array(table["NII6548_flux"])
    np.testing.assert_allclose(ratio, 3.071, rtol=1e-9)
    assert imread(tmp_path / "out" / "corner-3-3.png").shape[2] == 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_nested_sampling_gives_the_evidence_of_the_run(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "LIVE", 150)
    text = hear(Asked(run, tmp_path / "out", Area(3, 4, 5, 6), "dynesty", ("flat",), 2))
    (line,) = (line for line in text.splitlines() if "log_evidence" in line)
    found, _, error, own = line.split()[1:]
    assert float(found) == pytest.approx(float(own), abs=4 * float(error))


def test_what_cannot_be_sampled_is_refused(run, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="holds 100 spaxels, 64 is the most"):
        hear(Asked(run, out, Area(0, 10, 0, 10)))
    with pytest.raises(InputError, match="x=30, y=0 lies outside the run"):
        hear(Asked(run, out, Area(30, 31, 0, 1)))
    with pytest.raises(InputError, match="x=0, y=0 has no data; choose another spaxel"):
        hear(Asked(run, out, Area(0, 1, 0, 1), "emcee"))
    rest = ["-o", str(out)]
    assert main(["explore", str(run), *rest]) == 2
    assert "give either X Y or --region" in capsys.readouterr().err
    assert main(["explore", str(run), "3", "three", *rest]) == 2
    assert "explore: 3 three is not X Y" in capsys.readouterr().err
    assert main(["explore", str(run), "3", "3", "--prior", "wide", *rest]) == 2
    assert "--prior: wide" in capsys.readouterr().err


def test_a_missing_library_is_named_with_the_cure(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dynesty", None)
    with pytest.raises(InputError, match=r"dynesty is not installed; pip install 'stream-fit\["):
        hear(Asked(run, tmp_path / "out", Area(3, 4, 3, 4)))
