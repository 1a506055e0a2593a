"""The optical recipe on spectra of known truth: numbers, errors, and rows for the bad ones."""

import dataclasses

import numpy as np
import pytest
from optical_cubes import (
    AIR_NM,
    batch_of,
    doublet_amplitudes,
    fts_header,
    fts_spectra,
    gaussian_spectra,
    wavelength_header,
)
from scipy.optimize import least_squares

from streamfit.io.records import BatchKey, SpectralBatch
from streamfit.io.results import FitStatus
from streamfit.kernels import ils
from streamfit.stream.config import OpticalConfig
from streamfit.stream.optical import OpticalRecipe

RNG = np.random.default_rng(11)
SPAXELS = 400
VELOCITY = RNG.uniform(-500, 500, SPAXELS)
BROADENING = RNG.uniform(20, 90, SPAXELS)
CORR = RNG.uniform(1.021, 1.061, SPAXELS)


def rows(recipe, batch):
    record = recipe.fit(batch)
    return {name: record[name].to_numpy(zero_copy_only=False) for name in record.schema.names}


def pull(table, name, truth):
    return (table[name] - truth) / table[f"{name}_err"]


def robust_width(values):
    return 1.4826 * np.median(np.abs(values - np.median(values)))


@pytest.fixture(scope="module", params=[True, False], ids=["calibrated", "own axes"])
def sitelle(request):
    header = fts_header(calibrated=request.param)
    batch = fts_spectra(
        header,
        velocity=VELOCITY,
        broadening=BROADENING,
        amplitude=doublet_amplitudes(SPAXELS),
        noise=0.02,
        corr=CORR,
    )
    return OpticalRecipe(header, OpticalConfig()), batch


def test_velocity_and_broadening_are_unbiased_and_their_errors_true(sitelle):
    table = rows(*sitelle)
    assert np.count_nonzero(table["status"]) <= 0.01 * SPAXELS
    for name, truth in (("velocity", VELOCITY), ("broadening", BROADENING)):
        pulls = pull(table, name, truth)
        # 400 spectra: the median is known to 0.06, the width to 5 %
        assert abs(np.median(pulls)) < 0.2, name
        assert robust_width(pulls) == pytest.approx(1.0, abs=0.15), name


def test_chi2_is_that_of_a_right_model(sitelle):
    table = rows(*sitelle)
    assert np.mean(table["chi2"] / table["dof"]) == pytest.approx(1.0, abs=0.02)
    assert np.median(table["noise"]) == pytest.approx(0.02, rel=0.02)


def test_flux_is_the_integral_over_wavelength(sitelle):
    table = rows(*sitelle)
    centre = 1e7 / 656.2819 / (1 + VELOCITY / 299792.458)
    width = CORR * 1e7 / (2 * 2943.0 * (842 - 168))
    sigma = BROADENING / 299792.458 * centre
    grid = np.linspace(-1, 1, 4001)
    area = np.empty(SPAXELS)
    for s in range(SPAXELS):  # the sincgauss integrates as the Gaussian that it smooths
        peak = ils.sincgauss(0.0, sigma[s], width[s])
        t = grid * 12 * sigma[s]
        gauss = np.exp(-0.5 * (t / sigma[s]) ** 2)
        height = np.trapezoid(gauss * np.sinc(t / width[s]), t) / width[s]
        area[s] = peak * np.trapezoid(gauss, t) / height
    truth = area * 1e8 / centre**2
    assert np.median(pull(table, "Halpha_flux", truth)) == pytest.approx(0.0, abs=0.2)
    assert robust_width(pull(table, "Halpha_flux", truth)) == pytest.approx(1.0, abs=0.15)


def test_errors_of_flux_include_the_covariance_with_broadening(sitelle):
    """Against inv(J^T J) of the same model in the parameters (v, b, FLUX of Halpha, ...)."""
    recipe, batch = sitelle
    table = rows(recipe, batch)
    model = recipe.model
    s = 3
    stretch = CORR[s] if model.stretched else 1.0
    x = model.coordinate * stretch
    inside = (x > 14750) & (x < 15400)
    x, y = x[inside], batch.data[s][inside]
    width = CORR[s] * 1e7 / (2 * 2943.0 * (842 - 168))
    unit = (x - 15075) / 325

    def fluxes_to_model(p):
        out = p[-2] + p[-1] * unit
        nii, halpha, sii, sii2 = p[2:6]
        for (_, nm), flux in zip(
            AIR_NM.items(), (nii / 3.071, halpha, nii, sii, sii2), strict=True
        ):
            centre = 1e7 / (nm * (1 + p[0] / 299792.458))
            sigma = p[1] / 299792.458 * centre
            per_peak = ils.sincgauss_flux(sigma, width) * 1e8 / centre**2
            out = out + flux / per_peak * ils.sincgauss(x - centre, sigma, width)
        return (out - y) / table["noise"][s]

    names = (
        "velocity",
        "broadening",
        "NII6583_flux",
        "Halpha_flux",
        "SII6716_flux",
        "SII6731_flux",
    )
    start = [*(table[name][s] for name in names), 0.3, 0.0]
    scale = [*(table[f"{name}_err"][s] for name in names), 0.01, 0.01]
    found = least_squares(fluxes_to_model, start, x_scale=scale, jac="3-point", xtol=1e-12)
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    for index, name in enumerate(names):
        error = np.sqrt(covariance[index, index])
        assert table[f"{name}_err"][s] == pytest.approx(error, rel=0.01), name
        near = 0.03 * error  # a spaxel on its own axis may lack a channel at the window's edge
        assert table[name][s] == pytest.approx(found.x[index], abs=near), name
    if not model.stretched:
        assert 2 * found.cost == pytest.approx(table["chi2"][s], abs=1e-3)


def test_rows_do_not_depend_on_the_batch(sitelle):
    recipe, batch = sitelle
    table = rows(recipe, batch)
    few = np.arange(17, 60)
    part = rows(recipe, cut(batch, few))
    for name, values in part.items():
        if name.startswith("mdn_"):
            # It sees distances, roots of 2 (max lnL - lnL): near the peak, where these are small,
            # rounding of 1e-6 in lnL becomes its root.
            sigma = table[f"{'_'.join(name.split('_')[:2])}_sigma"][few]
            assert np.nanmax(np.abs(values - table[name][few]) / sigma) < 1e-3, name
        elif name not in ("x", "y"):
            np.testing.assert_allclose(values, table[name][few], rtol=1e-6, err_msg=name)


def cut(batch, chosen):
    arrays = {
        name: None if getattr(batch, name) is None else getattr(batch, name)[chosen]
        for name in ("x", "y", "data", "corr", "variance", "imaginary")
    }
    return SpectralBatch(BatchKey("c.hdf5", 0, len(chosen)), **arrays)


def test_bad_spectra_keep_their_row(sitelle):
    recipe, batch = sitelle
    data = batch.data[:6].copy()
    data[0] = np.nan
    data[1] = 0.0
    data[2, 440:450] = np.nan
    data[3] = np.random.default_rng(5).normal(size=data.shape[1]) * 0.02
    corr = batch.corr[:6].copy()
    corr[4] = np.nan
    table = rows(recipe, batch_of(data, corr=corr))
    status = [FitStatus(int(value)) for value in table["status"]]
    assert status[0] & FitStatus.NO_DATA
    assert status[1] & FitStatus.NO_DATA
    assert status[2] == FitStatus.NONFINITE
    assert abs(pull(table, "velocity", VELOCITY[:6])[2]) < 5
    assert status[3] & FitStatus.NO_SIGNAL
    assert status[4] & FitStatus.NO_DATA
    assert status[5] == FitStatus(0)
    assert np.isnan(table["velocity"][[0, 1, 4]]).all()


def test_blank_spectra_are_rarely_taken_for_lines():
    header = fts_header()
    recipe = OpticalRecipe(header, OpticalConfig())
    blank = np.random.default_rng(6).normal(size=(2000, header.axis.channels))
    status = rows(recipe, batch_of(blank, corr=np.full(2000, 1.03)))["status"]
    assert np.count_nonzero(status & FitStatus.NO_SIGNAL == 0) <= 10  # expected: 2


def test_noise_of_the_imaginary_part_is_used_where_asked():
    header = fts_header(has_imaginary=True)
    batch = fts_spectra(
        header,
        velocity=VELOCITY[:50],
        broadening=BROADENING[:50],
        amplitude=doublet_amplitudes(50),
        noise=0.02,
    )
    table = rows(OpticalRecipe(header, OpticalConfig(noise="imaginary")), batch)
    assert np.median(table["noise"]) == pytest.approx(0.02, rel=0.03)


def test_noise_from_residuals_gives_chi2_of_dof():
    header = fts_header()
    batch = fts_spectra(
        header,
        velocity=VELOCITY[:20],
        broadening=BROADENING[:20],
        amplitude=doublet_amplitudes(20),
        noise=0.02,
    )
    table = rows(OpticalRecipe(header, OpticalConfig(noise="residual")), batch)
    np.testing.assert_allclose(table["chi2"], table["dof"], rtol=1e-9)
    assert not table["status"].any()
    assert np.median(table["noise"]) == pytest.approx(0.02, rel=0.03)


def test_residuals_that_are_no_noise_are_a_poor_fit():
    """A second component that the model lacks, chi2 of dof notwithstanding."""
    header, amplitude = fts_header(), doublet_amplitudes(5)
    common = {"broadening": np.full(5, 20.0), "amplitude": amplitude, "noise": 0.002}
    batch = fts_spectra(header, velocity=np.full(5, -150.0), **common)
    other = fts_spectra(header, velocity=np.full(5, 150.0), continuum=0.0, seed=8, **common)
    batch = batch_of(batch.data + other.data, corr=batch.corr)
    table = rows(OpticalRecipe(header, OpticalConfig(noise="residual")), batch)
    assert (table["status"] & FitStatus.POOR_FIT > 0).all()


def test_variances_weigh_the_channels_of_a_wavelength_cube():
    coordinate = wavelength_header().axis.coordinate
    header = wavelength_header(lsf_sigma=np.full(coordinate.size, 1.1))
    velocity, broadening = VELOCITY[:300], RNG.uniform(60, 150, 300)
    flux = np.array([2.0 / 3.071, 6.0, 2.0, 1.5, 1.2])
    batch = gaussian_spectra(header, velocity=velocity, broadening=broadening, flux=flux)
    table = rows(OpticalRecipe(header, OpticalConfig()), batch)
    for name, truth in (
        ("velocity", velocity),
        ("broadening", broadening),
        ("Halpha_flux", 6.0),
        ("NII6548_flux", 2.0 / 3.071),
    ):
        assert abs(np.median(pull(table, name, truth))) < 0.22, name
        assert robust_width(pull(table, name, truth)) == pytest.approx(1.0, abs=0.17), name
    assert np.mean(table["chi2"] / table["dof"]) == pytest.approx(1.0, abs=0.03)


def test_a_masked_line_leaves_the_others_their_values():
    header = wavelength_header()
    flux = np.array([2.0 / 3.071, 6.0, 2.0, 1.5, 1.2])
    batch = gaussian_spectra(
        header, velocity=np.zeros(3), broadening=np.full(3, 80.0), flux=flux, lsf=0.0
    )
    t = header.axis.coordinate
    batch.data[:, np.abs(t - 6716.44) < 9.0] = np.nan
    table = rows(OpticalRecipe(header, OpticalConfig(velocity_range=(-100.0, 100.0))), batch)
    assert np.isnan(table["SII6716_flux"]).all()
    assert np.isfinite(table["SII6731_flux"]).all()
    assert (table["status"] & FitStatus.NONFINITE > 0).all()


def test_groups_have_velocities_of_their_own():
    header = fts_header()
    amplitude = doublet_amplitudes(30)
    batch = fts_spectra(
        header, velocity=VELOCITY[:30], broadening=BROADENING[:30], amplitude=amplitude, noise=0.005
    )
    groups = (("NII6548", "Halpha", "NII6583"), ("SII6716", "SII6731"))
    table = rows(OpticalRecipe(header, OpticalConfig(groups=groups)), batch)
    gap = (table["velocity_g2"] - table["velocity"]) / np.hypot(
        table["velocity_g2_err"], table["velocity_err"]
    )
    assert np.abs(np.median(gap)) < 0.6
    assert np.std(gap) == pytest.approx(1.0, abs=0.35)


def test_a_sinc_has_no_broadening():
    header = fts_header()
    batch = fts_spectra(
        header,
        velocity=VELOCITY[:10],
        broadening=np.full(10, 0.01),
        amplitude=doublet_amplitudes(10),
    )
    table = rows(OpticalRecipe(header, OpticalConfig(ils="sinc")), batch)
    assert (table["broadening"] == 0).all()
    assert (table["broadening_err"] == 0).all()
    assert np.isfinite(table["Halpha_flux_err"]).all()
    assert np.abs(np.median(pull(table, "velocity", VELOCITY[:10]))) < 1.0


def test_what_a_picture_shows_is_the_fit_of_the_table(sitelle):
    recipe, batch = sitelle
    one = cut(batch, np.array([7]))
    shown = recipe.explain(one)
    assert shown.table.equals(recipe.fit(one))
    inside = np.isfinite(shown.model)
    chi2 = np.square((shown.data - shown.model)[inside] / shown.noise[inside]).sum()
    assert chi2 == pytest.approx(shown.table["chi2"][0].as_py(), rel=1e-6)


def test_preparing_compiles_without_a_cube(sitelle):
    header = dataclasses.replace(fts_header(), has_imaginary=True)
    OpticalRecipe(header, OpticalConfig(noise="imaginary")).prepare()
    OpticalRecipe(wavelength_header(), OpticalConfig()).prepare()


def test_lines_may_leave_a_narrow_window_within_the_velocity_range():
    config = OpticalConfig(lines=("NII6583",), window=(657.0, 660.5), noise="residual")
    OpticalRecipe(wavelength_header(), config).prepare()
