"""The simulator keeps to the documented formats and to the physics it claims.

Files are read back here with h5py, astropy and numpy alone, and line shapes are summed from their
cosine integral, so that neither our readers nor our kernels vouch for themselves. One test at the
end holds our readers to the same files.
"""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from streamfit.io.errors import InputError
from streamfit.io.records import Area, BatchKey
from streamfit.io.source import open_cube
from streamfit.tools.cube_plan import LAYOUTS, CubePlan
from streamfit.tools.simulate_cube import main, simulate
from streamfit.tools.write_sitelle import STORAGE

C = 299792.458  # [km/s]
HALPHA_NM = 656.2819
CLEAN = {"bad": 0.0, "snr": (1e5, 1e5)}  # the noise is as good as none
LINES = {
    "NII6548": 654.805,
    "Halpha": 656.2819,
    "NII6583": 658.345,
    "SII6716": 671.6440,
    "SII6731": 673.0816,
}


def made(folder: Path, **options) -> tuple[Path, dict[str, np.ndarray]]:
    """Simulate; give the cube and its truth."""
    plan = CubePlan(folder / "cube.hdf5", **{"shape": (6, 7), "seed": 5, **options})
    table = pq.read_table(simulate(plan))
    return plan.path, {name: table[name].to_numpy() for name in table.column_names}


def spectra(path: Path, name: str = "data") -> np.ndarray:
    """Dataset with its spaxels in one axis."""
    with h5py.File(path) as file:
        data = file[name][()]
    return data.reshape(data.shape[0] * data.shape[1], -1)


def axis(path: Path, corr: float) -> np.ndarray:
    """Wavenumbers by the formula of the format, order even."""
    with h5py.File(path) as file:
        step, order, n = file.attrs["step"], file.attrs["order"], file["data"].shape[2]
    d = corr / (2 * n * step) * 1e7
    low = order / (2 * step) * corr * 1e7
    return np.linspace(low, (order + 1) / (2 * step) * corr * 1e7 - d, n)


def shape_by_quadrature(offset, sigma: float, width: float) -> np.ndarray:
    """Sincgauss as its cosine integral: Martin, Prunet & Drissen 2016."""
    t, weight = np.polynomial.legendre.leggauss(800)
    t, weight = 0.5 * (t + 1), 0.5 * weight
    envelope = weight * np.exp(-0.5 * (np.pi * sigma / width * t) ** 2)
    return np.cos(np.pi / width * np.multiply.outer(offset, t)) @ envelope / envelope.sum()


def test_level_2_has_the_documented_dataset_and_attributes(tmp_path):
    path, _ = made(tmp_path)
    with h5py.File(path) as file:
        assert file["data"].shape == (6, 7, 842)
        assert file["data"].dtype == np.float32
        assert file["calib_map"].shape == file["deep_frame"].shape == (6, 7)
        a = dict(file.attrs)
    assert a["level2"]
    assert a["step"] == 2943.025792
    assert (a["order"], a["step_nb"], a["zpd_index"]) == (8, 842, 168)
    assert a["filter_name"] == "SN3"
    # M31's cube of the same set-up: 840 channels, zpd 168, line_fwhm 3.165087.
    assert a["line_fwhm"] == pytest.approx(3.165087 * (840 - 168) / (842 - 168), rel=1e-5)
    assert a["axis_min"] == pytest.approx(14100.742, abs=1e-3)


def test_level_1_is_nine_quadrants_and_a_header_of_strings(tmp_path):
    whole = spectra(made(tmp_path, shape=(8, 10))[0]).reshape(8, 10, -1)
    path, _ = made(tmp_path, layout="level1", shape=(8, 10))
    with h5py.File(path) as file:
        assert (file.attrs["quad_nb"], file.attrs["dimx"], file.attrs["dimy"]) == (9, 8, 10)
        sizes = [file[f"quad{q:03d}/data"].shape[:2] for q in range(9)]
        assert sizes == [(2, 3), (2, 3), (4, 3), (2, 3), (2, 3), (4, 3), (2, 4), (2, 4), (4, 4)]
        np.testing.assert_array_equal(file["quad007/data"][()], whole[2:4, 6:10])
        assert file["header"].dtype == "S300"
        cards = {row[0]: row[1:] for row in file["header"][()].astype(str)}
    assert cards["STEP"][0] == "2943.025792"
    assert cards["STEP"][2] == "float"
    assert float(cards["CRVAL3"][0]) == pytest.approx(14100.742, abs=1e-3)
    assert cards["COMMENT"][2] == "comment"


def test_level_3_counts_give_the_flux_of_level_2(tmp_path):
    flux = spectra(made(tmp_path)[0])
    path, _ = made(tmp_path, layout="level3")
    with h5py.File(path) as file:
        counts = file["data"][()].reshape(flux.shape)
        scale = file.attrs["flambda"] / file["data"].shape[2] / file.attrs["exposure_time"]
        assert file.attrs["level3"]
    np.testing.assert_allclose(counts.real * scale, flux, rtol=1e-6, atol=1e-24)


def test_level_2_5_is_complex_and_calibrated(tmp_path):
    flux = spectra(made(tmp_path)[0])
    path, _ = made(tmp_path, layout="level2.5")
    with h5py.File(path) as file:
        assert "flambda2" in file.attrs
        assert file["data"].dtype == np.complex64
    np.testing.assert_array_equal(spectra(path).real, flux)


def test_the_laser_map_spans_the_angles_of_the_instrument(tmp_path):
    path, truth = made(tmp_path, shape=(16, 16))
    with h5py.File(path) as file:
        corr = file["calib_map"][()] / 543.5
    theta = np.degrees(np.arccos(1 / corr))
    assert 11.7 < theta.min() < 12.1
    assert 18.9 < theta.max() < 19.7
    np.testing.assert_allclose(corr.ravel(), truth["corr"], rtol=1e-12)


@pytest.mark.parametrize("calibrated", [True, False])
def test_spectra_are_lines_of_the_documented_shape_on_a_continuum(tmp_path, calibrated):
    path, truth = made(tmp_path, calibrated=calibrated, continuum=(0, 0), **CLEAN)
    data = spectra(path)
    with h5py.File(path) as file:
        a = dict(file.attrs)
        corr = file["calib_map"][()].ravel() / 543.5
    for row in (0, 20, 41):
        x = axis(path, a["axis_corr"] if calibrated else corr[row])
        mpd = a["step"] * (a["step_nb"] - a["zpd_index"]) / corr[row] * 1e-7
        model = np.zeros_like(x)
        for name, nm in LINES.items():
            centre = 1e7 / nm / (1 + truth["velocity"][row] / C)
            sigma = truth["broadening"][row] / C * centre
            peak = truth[f"{name}_amplitude"][row]
            model += peak * shape_by_quadrature(x - centre, sigma, 1 / (2 * mpd))
        residual = (data[row] - model) / truth["noise"][row]
        assert np.std(residual) == pytest.approx(1.0, abs=0.1)  # 842 draws: 2.4 % in one sigma


def test_fluxes_are_the_sum_over_the_channels(tmp_path):
    """Channels sample the band-limited shape more than enough: the sum is the integral."""
    options = {"lines": ("Halpha",), "continuum": (0, 0), "channels": 4000, **CLEAN}
    path, truth = made(tmp_path, **options)
    x = axis(path, 1.0374712062298759)
    centre = 1e7 / HALPHA_NM / (1 + truth["velocity"] / C)
    summed = spectra(path).sum(axis=1) * (x[1] - x[0]) * 1e8 / centre**2
    # What the sinc wings carry beyond the ends of the axis: W / (pi^2 x distance), about 1e-4.
    np.testing.assert_allclose(summed, truth["Halpha_flux"], rtol=1e-3)


def test_noise_is_white_and_the_imaginary_part_has_its_own(tmp_path):
    path, truth = made(tmp_path, layout="level2.5", shape=(20, 20), bad=0.0)
    noise = truth["noise"][:, None]
    data = spectra(path)
    outside = data[:, :180].real / noise  # the band begins at channel 240
    assert np.std(outside) == pytest.approx(1.0, abs=0.02)
    assert np.std(data.imag / noise) == pytest.approx(1.0, abs=0.01)
    assert abs(np.mean(outside * (data[:, :180].imag / noise))) < 0.02
    assert abs(np.mean(outside[:, 1:] * outside[:, :-1])) < 0.02


def test_continuum_ends_with_the_filter_while_line_wings_run_on(tmp_path):
    path, truth = made(tmp_path, continuum=(1, 1), **CLEAN)
    data, x = spectra(path), axis(path, 1.0374712062298759)
    peak = truth["Halpha_amplitude"][:, None] + truth["NII6583_amplitude"][:, None]
    outside = np.abs(data[:, (x < 14450) | (x > 15600)]) / peak
    assert outside.max() < 0.02
    assert np.median(outside) > 1e-5
    inside = (x > 14850) & (x < 15050)
    expected = truth["continuum"] / truth["noise"]
    assert np.median(np.median(data[:, inside], axis=1) / truth["noise"] / expected) == (
        pytest.approx(1.0, abs=0.1)
    )


def test_the_truth_keeps_its_promises(tmp_path):
    _, truth = made(tmp_path, shape=(30, 30), snr=(3, 100), bad=0.0)
    np.testing.assert_allclose(truth["NII6583_flux"] / truth["NII6548_flux"], 3.071, rtol=1e-9)
    brightest = np.max([truth[f"{name}_amplitude"] for name in LINES], axis=0)
    np.testing.assert_allclose(brightest / truth["noise"], truth["snr"], rtol=1e-9)
    assert 3 <= truth["snr"].min() < 4
    assert 90 < truth["snr"].max() <= 100
    ratio = truth["SII6716_flux"] / truth["SII6731_flux"]
    assert 0.44 < ratio.min() < ratio.max() < 1.45


def test_oxygen_keeps_its_ratio_in_sn2(tmp_path):
    _, truth = made(tmp_path, filter_name="SN2")
    np.testing.assert_allclose(truth["OIII5007_flux"] / truth["OIII4959_flux"], 3.013, rtol=1e-9)
    assert "Hbeta_flux" in truth


def test_defects_are_in_the_data_as_the_truth_names_them(tmp_path):
    path, truth = made(tmp_path, shape=(20, 20), bad=1.0)
    data, bad = spectra(path), truth["bad"]
    assert set(bad) == {"dead", "zero", "gaps", "empty", "cosmic"}
    assert np.isnan(data[bad == "dead"]).all()
    assert (data[bad == "zero"] == 0).all()
    missing = np.isnan(data[bad == "gaps"]).mean(axis=1)
    assert missing.min() > 0.03
    assert missing.max() < 0.3
    assert (truth["Halpha_flux"][bad == "empty"] == 0).all()
    assert (truth["snr"][bad == "empty"] == 0).all()


def test_a_share_of_the_spaxels_is_bad(tmp_path):
    _, truth = made(tmp_path, shape=(40, 40), channels=32, lines=("Halpha",), bad=0.1)
    assert np.mean(truth["bad"] != "") == pytest.approx(0.1, abs=0.025)


def test_slabs_of_any_size_give_the_same_cube(tmp_path):
    (tmp_path / "small").mkdir()
    one, truth = made(tmp_path)
    other, other_truth = made(tmp_path / "small", slab_bytes=842 * 4 * 3)
    np.testing.assert_array_equal(spectra(one), spectra(other))
    order = np.lexsort((other_truth["y"], other_truth["x"]))
    for name, column in truth.items():
        np.testing.assert_array_equal(column, other_truth[name][order])


def test_the_seed_decides(tmp_path):
    first = spectra(made(tmp_path)[0])
    np.testing.assert_array_equal(first, spectra(made(tmp_path)[0]))
    assert np.nanmax(np.abs(first - spectra(made(tmp_path, seed=6)[0]))) > 0


@pytest.mark.parametrize("storage", STORAGE)
def test_every_storage_holds_the_same_numbers(tmp_path, storage):
    (tmp_path / storage).mkdir()
    options = {"shape": (5, 9), "channels": 64, "layout": "level2.5"}
    plain, _ = made(tmp_path, **options)
    stored, _ = made(tmp_path / storage, storage=storage, **options)
    np.testing.assert_array_equal(spectra(plain), spectra(stored))
    with h5py.File(stored) as file:
        assert (file["data"].chunks is None) == (storage == "contiguous")


def test_a_tiled_field_keeps_spectra_angles_and_truth_together(tmp_path):
    path, truth = made(tmp_path, shape=(30, 30), tile=50, continuum=(0, 0), **CLEAN)
    data = spectra(path)
    kinds, first, which = np.unique(data, axis=0, return_index=True, return_inverse=True)
    assert len(kinds) <= 50
    for name in ("velocity", "corr", "Halpha_flux"):
        np.testing.assert_array_equal(truth[name], truth[name][first][which.ravel()])
    with h5py.File(path) as file:
        corr = file["calib_map"][()].ravel() / 543.5
    np.testing.assert_allclose(corr, truth["corr"], rtol=1e-12)
    _, every = made(tmp_path, shape=(30, 30), channels=32, lines=("Halpha",))
    assert np.abs(corr - every["corr"]).max() < 0.005
    x, y = truth["x"], truth["y"]
    assert len(np.unique(x * 30 + y)) == 900


def test_the_disk_turns(tmp_path):
    _, truth = made(tmp_path, shape=(32, 32), scene="disk", channels=32, lines=("Halpha",))
    angle = np.deg2rad(35)
    along = (truth["x"] - 16) * np.cos(angle) + (truth["y"] - 16) * np.sin(angle)
    assert np.corrcoef(along, truth["velocity"])[0, 1] > 0.8


FITS = ("muse", "manga", "sami", "orb", "luci")


@pytest.mark.parametrize("layout", FITS)
def test_fits_cubes_are_valid_and_hold_the_lines(tmp_path, layout):
    path, truth = made(tmp_path, layout=layout, continuum=(0, 0), shape=(6, 9), **CLEAN)
    with fits.open(path) as hdus:
        hdus.verify("exception")
        index = {"muse": "DATA", "manga": "FLUX"}.get(layout, 0)
        cube = hdus[index].data.astype(float)
        header = hdus[index].header
        assert cube.shape[1:] == (9, 6)
        assert WCS(header, naxis=2).wcs.ctype[0].startswith("RA---TAN")
        step = header.get("CD3_3", header.get("CDELT3"))
        x = header["CRVAL3"] + step * np.arange(len(cube))
        if layout == "manga":
            x = header["CRVAL3"] * np.exp(step * np.arange(len(cube)) / header["CRVAL3"])
            np.testing.assert_allclose(hdus["WAVE"].data, x, rtol=1e-12)
    peak = x[cube[:, 4, 2].argmax()]
    row = np.flatnonzero((truth["x"] == 2) & (truth["y"] == 4))[0]
    brightest = max(LINES, key=lambda name: truth[f"{name}_amplitude"][row])
    wavelength = 10 * LINES[brightest] * (1 + truth["velocity"][row] / C)
    if layout == "manga":
        wavelength *= 1.000276  # vacuum over air at 6560 angstrom
    expected = wavelength if layout in ("muse", "manga", "sami") else 1e8 / wavelength
    assert abs(peak - expected) <= np.diff(x).max()


def test_variance_of_fits_cubes_is_that_of_the_noise(tmp_path):
    path, _ = made(tmp_path, layout="muse", shape=(40, 40), bad=0.0, lines=("SII6731",))
    with fits.open(path) as hdus:
        pull = hdus["DATA"].data[10:60] / np.sqrt(hdus["STAT"].data[10:60])
        assert hdus["DATA"].header["BUNIT"] == "10**(-20)*erg/s/cm**2/Angstrom"
    slopes = np.diff(pull, axis=0) / np.sqrt(2)  # takes the continuum away
    assert np.std(slopes) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_our_readers_give_back_what_was_simulated(tmp_path, layout):
    plan = CubePlan(tmp_path / "cube", layout=layout, shape=(7, 11), bad=0.3, seed=2)
    truth = pq.read_table(simulate(plan))
    reader = open_cube(plan.path)
    assert reader.header.shape == (7, 11)
    batch = reader.read(Area(0, 7, 0, 11), BatchKey("cube", 0, 77))
    reader.close()
    bad = truth["bad"].to_numpy()
    masked = ("dead", "zero") if layout in ("muse", "manga") else ("dead",)
    nothing = np.isin(bad, masked)
    np.testing.assert_array_equal(np.isnan(batch.data).all(axis=1), nothing)
    if batch.corr is not None:
        np.testing.assert_allclose(batch.corr, truth["corr"].to_numpy(), rtol=1e-9)
    good = bad == ""
    brightest = np.max([truth[f"{name}_amplitude"].to_numpy() for name in LINES], axis=0)
    ceiling = (brightest + 2 * truth["continuum"].to_numpy())[good]
    ratio = np.nanmax(batch.data[good], axis=1) / (ceiling + 4 * truth["noise"].to_numpy()[good])
    assert 0.3 < ratio.min() < ratio.max() < 1.7  # units: the power of ten is right


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "level9"}, "layout 'level9'; choose level1, level2"),
        ({"scene": "city"}, "choose disk, edge, random"),
        ({"shape": (2, 5)}, "shape is (2, 5); give NX,NY of at least 3,3"),
        ({"channels": 8}, "channels is 8; give at least 32"),
        ({"snr": (9.0, 3.0)}, "snr is (9.0, 3.0); give LO,HI"),
        ({"bad": 2.0}, "bad is 2.0"),
        ({"layout": "level1", "calibrated": False}, "leave out --uncalibrated"),
    ],
)
def test_a_plan_that_cannot_be_names_the_cure(change, message):
    with pytest.raises(InputError) as caught:
        replace(CubePlan(Path("cube.hdf5")), **change)
    assert message in str(caught.value)


def test_a_band_without_lines_names_the_cure(tmp_path):
    with pytest.raises(InputError, match="name some with --lines or give another --redshift"):
        simulate(CubePlan(tmp_path / "cube.hdf5", filter_name="C4"))


def test_the_command_writes_a_cube_and_its_truth(tmp_path, capsys):
    path = tmp_path / "new" / "cube.hdf5"
    words = ["-o", str(path), "--layout", "level1", "--shape", "4,5", "--channels", "64"]
    assert main([*words, "--uncalibrated"]) == 2
    assert "leave out --uncalibrated" in capsys.readouterr().err
    assert main([*words, "--snr", "5,9"]) == 0
    assert path.exists()
    assert len(pq.read_table(path.with_suffix(".truth.parquet"))) == 20
    assert capsys.readouterr().out == ""
