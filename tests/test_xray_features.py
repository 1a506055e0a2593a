import numpy as np
import pytest

from streamfit.kernels.plasma import rebin, thermal
from streamfit.kernels.response import ENERGY_EDGES
from streamfit.kernels.xray_features import BAND, FEATURES, SCALARS, TOLD, Known, features, level
from streamfit.models.plasma_table import load_plasma

WIDTHS = np.diff(ENERGY_EDGES)


def known(rows, **changed):
    values = {
        "counts": np.full(rows, 1000.0),
        "background": np.full(rows, 100.0),
        "redshift": np.zeros(rows),
        "column": np.full(rows, np.nan),
        "column_sigma": np.full(rows, np.nan),
    }
    return Known(**{**values, **changed})


@pytest.fixture(scope="module")
def spectra():
    """Of a plasma of 3 keV, nearby and at four redshifts."""
    table = load_plasma()
    redshift = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    photons = thermal(table, 3.0, 0.5, redshift)
    return np.log(rebin(table.edges, photons, ENERGY_EDGES) / WIDTHS), redshift


def test_the_level_is_the_photon_flux_of_its_band():
    flux = np.full((1, 256), 7.0)
    np.testing.assert_allclose(np.exp(level(np.log(flux))), 7.0 * (BAND[1] - BAND[0]), rtol=0.02)


def test_features_do_not_know_how_bright_a_source_is(spectra):
    log_flux, _ = spectra
    sigma = np.full_like(log_flux, 0.1)
    found = [features(log_flux + shift, sigma, known(5)) for shift in (0.0, -30.0)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    assert found[0].shape == (5, FEATURES)
    assert found[0].dtype == np.float32


def test_at_rest_all_redshifts_look_alike(spectra):
    log_flux, redshift = spectra
    found = features(log_flux, np.full_like(log_flux, 0.1), known(5, redshift=redshift))
    observed, rest = found[:, :128], found[:, 128:256]
    # 1 to 5 keV at rest, all of it observed; each is known but for its level.
    inside = slice(40, 105)
    flat = rest[:, inside] - rest[:, inside].mean(axis=1, keepdims=True)
    moved = observed[:, inside] - observed[:, inside].mean(axis=1, keepdims=True)
    # Within a fraction of a bin lines fall differently into bins.
    assert np.abs(flat - flat[0]).max() < 0.2
    assert np.abs(flat - flat[0]).mean() < 0.2 * np.abs(moved - moved[0]).mean()


def test_a_column_is_told_or_it_is_not(spectra):
    log_flux, _ = spectra
    sigma = np.full_like(log_flux, 0.1)
    column = np.log([0.02, np.nan, 0.3, np.nan, 1.0])
    error = np.array([0.1, np.nan, 0.2, 0.5, 0.05])
    found = features(log_flux, sigma, known(5, column=column, column_sigma=error))[:, TOLD:]
    np.testing.assert_array_equal(found[:, 0], [1, 0, 1, 0, 1])
    np.testing.assert_allclose(found[[0, 2, 4], 1], column[[0, 2, 4]], rtol=1e-6)
    np.testing.assert_allclose(found[[0, 2, 4], 2], np.log(error[[0, 2, 4]]), rtol=1e-6)
    np.testing.assert_array_equal(found[1], found[3])


def test_a_spectrum_that_is_not_known_gives_nan_and_leaves_the_others(spectra):
    log_flux, _ = spectra
    sigma = np.full_like(log_flux, 0.1)
    broken = log_flux.copy()
    broken[2] = np.nan
    found = features(broken, sigma, known(5))
    assert np.isnan(found[2, :-SCALARS][:128]).all()
    kept = [0, 1, 3, 4]
    np.testing.assert_array_equal(found[kept], features(log_flux, sigma, known(5))[kept])
