"""The fast fit beside the direct one: the same numbers, whatever the way to them."""

import dataclasses

import numpy as np
import pytest
from optical_cubes import batch_of, doublet_amplitudes, fts_header, fts_spectra, wavelength_header

from streamfit.io.records import Area
from streamfit.io.results import FitStatus
from streamfit.kernels import varpro
from streamfit.stream.config import OpticalConfig
from streamfit.stream.optical import OpticalRecipe
from streamfit.stream.reduced_fitter import ReducedFitter, worthwhile
from streamfit.stream.spectral_model import build_model

RNG = np.random.default_rng(3)
SPAXELS = 300
SNR = np.exp(RNG.uniform(np.log(3), np.log(100), SPAXELS))
VELOCITY = RNG.uniform(-500, 500, SPAXELS)
BROADENING = RNG.uniform(10, 100, SPAXELS)
# Three places in the field: tables are made for each.
CORR = RNG.choice([1.022, 1.040, 1.060], SPAXELS) * RNG.uniform(1.0, 1.0002, SPAXELS)


def spectra(header):
    amplitude = doublet_amplitudes(SPAXELS) * SNR[:, None]
    return fts_spectra(
        header,
        velocity=VELOCITY,
        broadening=BROADENING,
        amplitude=amplitude,
        continuum=5.0,
        noise=1.0,
        corr=CORR,
    )


def both(header, config, batch):
    """Rows of the direct and of the fast recipe."""
    tables = []
    for fast in (False, True):
        recipe = OpticalRecipe(header, config)
        recipe.fitter = ReducedFitter(recipe.model) if fast else varpro.fit
        record = recipe.fit(batch)
        names = record.schema.names
        tables.append({name: record[name].to_numpy(zero_copy_only=False) for name in names})
    return tables


CONFIGS = {
    "tied doublet": OpticalConfig(),
    "free ratios": OpticalConfig(ratios=()),
    "two groups": OpticalConfig(groups=(("NII6548", "Halpha", "NII6583"), ("SII6716", "SII6731"))),
    "sinc": OpticalConfig(ils="sinc"),
    "gaussian": OpticalConfig(ils="gaussian"),
    "parabola": OpticalConfig(continuum_degree=2),
}


SLOW = tuple(name for name in CONFIGS if name != "tied doublet")


@pytest.mark.parametrize(
    ("config", "calibrated"),
    [
        (CONFIGS["tied doublet"], True),
        *(pytest.param(CONFIGS[name], True, marks=pytest.mark.slow) for name in SLOW),
        pytest.param(CONFIGS["two groups"], False, marks=pytest.mark.slow),
    ],
    ids=["tied doublet", *SLOW, "own axes"],
)
def test_every_number_is_that_of_the_direct_fit(config, calibrated):
    header = fts_header(calibrated=calibrated)
    direct, fast = both(header, config, spectra(header))
    # Where the line shape is not the spectra's, the fit is poor, and the same.
    wrong = ~int(FitStatus.POOR_FIT | FitStatus.NEGATIVE_AMPLITUDE)
    good = (direct["status"] & wrong == 0) & (fast["status"] & wrong == 0)
    assert good.mean() > 0.8
    assert np.mean(direct["status"] == fast["status"]) > 0.97
    for name in ("velocity", "broadening", "Halpha_flux", "SII6716_flux", "continuum"):
        error = direct[f"{name}_err"][good]
        if not error.all():
            continue  # a sinc has no broadening
        away = np.abs(fast[name] - direct[name])[good] / error
        # Both end within a chi2 of 1e-3 of the minimum: 0.03 sigma.
        assert np.quantile(away, 0.5) < 0.003, name
        assert np.quantile(away, 0.98) < 0.05, name
        ratio = fast[f"{name}_err"][good] / error
        assert np.quantile(np.abs(ratio - 1), 0.98) < 0.02, name
    # Where the residual is no noise, it bends chi2 in proportion to itself.
    poor = np.maximum(direct["chi2"] / direct["dof"], 1.0)
    gap = (np.abs(fast["chi2"] - direct["chi2"]) / poor)[good]
    assert np.quantile(gap, 0.98) < 3e-3


def test_masked_and_dead_spectra_go_the_direct_way():
    header = fts_header()
    batch = spectra(header)
    data = batch.data[:40].copy()
    data[3, 440:450] = np.nan
    data[5] = np.nan
    data[7] = 0.0
    direct, fast = both(header, OpticalConfig(), batch_of(data, corr=CORR[:40]))
    assert fast["status"][3] == FitStatus.NONFINITE
    assert fast["status"][5] & FitStatus.NO_DATA
    assert fast["status"][7] & FitStatus.NO_DATA
    assert fast["velocity"][3] == direct["velocity"][3]


def test_rows_do_not_depend_on_their_neighbours():
    header = fts_header()
    batch = spectra(header)
    recipe = OpticalRecipe(header, OpticalConfig())
    recipe.fitter = ReducedFitter(recipe.model)
    whole = recipe.fit(batch)
    few = np.arange(100, 130)
    part = recipe.fit(batch_of(batch.data[few], corr=CORR[few]))
    for name in ("velocity", "broadening", "Halpha_flux", "chi2"):
        np.testing.assert_allclose(
            part[name].to_numpy(), whole[name].to_numpy()[few], rtol=1e-5, err_msg=name
        )


def test_tables_are_made_where_they_pay():
    header = fts_header()
    model = build_model(header, OpticalConfig())
    assert worthwhile(model, "band", (2048, 2064), None)
    assert not worthwhile(model, "band", (64, 64), None)
    assert not worthwhile(model, "band", (2048, 2064), Area(0, 100, 0, 100))
    assert not worthwhile(model, "variance", (2048, 2064), None)
    assert not worthwhile(model, "band", (300, 300), None)
    assert worthwhile(model, "band", (300, 300), None, bayes=True)
    stretched = build_model(fts_header(calibrated=False), OpticalConfig())
    assert not worthwhile(stretched, "band", (512, 512), None)
    logarithmic = wavelength_header(has_variance=False)
    uneven = np.geomspace(6400.0, 6900.0, logarithmic.axis.channels)
    axis = dataclasses.replace(logarithmic.axis, coordinate=uneven)
    logarithmic = dataclasses.replace(logarithmic, axis=axis)
    assert not worthwhile(build_model(logarithmic, OpticalConfig()), "residual", (999, 999), None)


def test_a_large_cube_is_fitted_the_fast_way_unasked():
    large = dataclasses.replace(fts_header(), shape=(2048, 2064))
    assert isinstance(OpticalRecipe(large, OpticalConfig()).fitter, ReducedFitter)
    assert OpticalRecipe(fts_header(), OpticalConfig()).fitter is varpro.fit
