"""Axis, lines and windows that are chosen for a cube, and every way in which they cannot be."""

import dataclasses

import numpy as np
import pytest
from optical_cubes import fts_header, wavelength_header

from streamfit.io.errors import InputError
from streamfit.kernels.emission import Shape
from streamfit.stream.config import OpticalConfig
from streamfit.stream.spectral_model import build_model


def test_sn3_is_fitted_with_sincgauss_in_its_window_with_the_five_strong_lines():
    model = build_model(fts_header(), OpticalConfig())
    assert model.emission.shape is Shape.SINCGAUSS
    assert model.emission.names == ("NII6548", "Halpha", "NII6583", "SII6716", "SII6731")
    assert model.continuum.windows == ((14750.0, 15400.0),)
    assert model.emission.columns == 4  # the [NII] doublet is one
    assert model.emission.names[model.reference] == "Halpha"


def test_a_calibrated_cube_shares_its_axis_and_keeps_a_line_width_of_its_own():
    corr = np.array([1.02, 1.06])
    model = build_model(fts_header(), OpticalConfig())
    assert np.array_equal(model.scale(corr, 2), [1.0, 1.0])
    wide = model.widths(corr, 2)[:, 0]
    assert wide[1] / wide[0] == pytest.approx(1.06 / 1.02)


def test_an_uncalibrated_cube_stretches_its_axis_by_corr():
    corr = np.array([1.02, np.nan])
    model = build_model(fts_header(calibrated=False), OpticalConfig())
    assert np.array_equal(model.scale(corr, 2), corr, equal_nan=True)


def test_apodized_spectra_are_fitted_with_gaussians_of_their_own_width():
    header = fts_header()
    header = dataclasses.replace(header, axis=dataclasses.replace(header.axis, apodization=1.5))
    model = build_model(header, OpticalConfig())
    plain = build_model(fts_header(), OpticalConfig())
    assert model.emission.shape is Shape.GAUSSIAN
    fwhm = model.width[0] * 2.3548200450309493
    assert fwhm == pytest.approx(1.5 * 1.2067091288 * plain.width[0])


def test_a_filter_without_a_tabulated_window_is_fitted_inside_its_band():
    model = build_model(fts_header(filter_name="X9"), OpticalConfig())
    (low, high), band = model.continuum.windows[0], fts_header().band
    assert band[0] < low < band[0] + 0.05 * (band[1] - band[0])
    assert band[1] - 0.05 * (band[1] - band[0]) < high < band[1]


def test_wavelengths_are_fitted_around_the_lines_alone():
    header = wavelength_header(low=4700.0, high=9300.0)
    model = build_model(header, OpticalConfig())
    (blue, red) = model.continuum.windows
    assert blue[0] < 4861.333 < 5006.843 < blue[1] < red[0] < 6548.05 < 6730.816 < red[1]
    assert red[1] - 6730.8 == pytest.approx(6730.816 * 3000 / 299792.458, abs=0.1)


def test_vacuum_axes_get_vacuum_rest_wavelengths():
    air = build_model(wavelength_header(), OpticalConfig())
    vacuum = build_model(wavelength_header(kind="vacuum"), OpticalConfig())
    halpha = air.emission.names.index("Halpha")
    assert air.emission.rest[halpha] == pytest.approx(6562.819)
    # NIST: Halpha 6564.632 in vacuum
    assert vacuum.emission.rest[halpha] == pytest.approx(6564.632, abs=2e-3)


def test_redshift_moves_the_lines_and_the_header_gives_it():
    model = build_model(wavelength_header(redshift=0.01), OpticalConfig())
    halpha = model.emission.names.index("Halpha")
    assert model.redshift == 0.01
    assert model.emission.rest[halpha] == pytest.approx(6562.819 * 1.01)
    assert build_model(wavelength_header(redshift=0.01), OpticalConfig(redshift=0.0)).redshift == 0


def test_resolution_of_a_fits_cube_is_its_own_the_users_or_none():
    coordinate = wavelength_header().axis.coordinate
    own = wavelength_header(lsf_sigma=np.full(coordinate.size, 1.1))
    assert build_model(own, OpticalConfig()).width == pytest.approx(1.1)
    assert build_model(own, OpticalConfig(resolution="none")).width == pytest.approx(0.0)
    asked = build_model(own, OpticalConfig(resolution=2500.0))
    assert asked.width == pytest.approx(asked.emission.rest / 2500 / 2.3548200450309493)


def test_an_unknown_resolution_is_said():
    (note,) = build_model(wavelength_header(), OpticalConfig()).notes
    assert "as observed" in note


def test_gaussians_stay_wide_enough_to_be_seen_by_a_channel():
    blurred = wavelength_header(lsf_sigma=np.full(wavelength_header().axis.channels, 1.1))
    assert build_model(blurred, OpticalConfig()).bounds.broadening == (1.0, 500.0)
    low, _ = build_model(wavelength_header(), OpticalConfig()).bounds.broadening
    fwhm = 2.3548 * low / 299792.458 * 6548.05
    assert fwhm == pytest.approx(1.25, rel=1e-3)  # one channel


def test_custom_lines_are_fitted_beside_the_strong_ones():
    config = OpticalConfig(custom_lines=(("OH6499", 649.873),))
    assert "OH6499" in build_model(fts_header(), config).emission.names


def test_kinematic_groups_and_free_ratios_are_taken_over():
    groups = (("NII6548", "Halpha", "NII6583"), ("SII6716", "SII6731"))
    model = build_model(fts_header(), OpticalConfig(groups=groups, ratios=()))
    assert model.emission.groups == 2
    assert model.emission.columns == 5


@pytest.mark.parametrize(
    ("header", "config", "message"),
    [
        (fts_header(), OpticalConfig(redshift=0.5), "no strong line between 649.35 and 677.97 nm"),
        (fts_header(), OpticalConfig(lines=("Hbeta",)), "Hbeta stands at 486.13 nm, outside"),
        (fts_header(), OpticalConfig(lines=("Halfa",)), "line Halfa is unknown"),
        (fts_header(), OpticalConfig(lines=("Halpha", "Halpha")), "given twice"),
        (fts_header(), OpticalConfig(window=(1.0, 2.0)), "is not inside the axis"),
        (fts_header(), OpticalConfig(groups=(("Hbeta",),)), "which is not fitted"),
        (
            fts_header(),
            OpticalConfig(groups=(("NII6583",), ("NII6548",))),
            "NII6583/NII6548 = 3.071 ties two kinematic groups",
        ),
        (wavelength_header(), OpticalConfig(ils="sinc"), "give --resolution R"),
    ],
)
def test_what_cannot_be_fitted_is_said_in_one_line(header, config, message):
    with pytest.raises(InputError) as caught:
        build_model(header, config)
    text = str(caught.value)
    assert message in text
    assert text.startswith(header.name)
    assert "\n" not in text


def test_a_sinc_needs_evenly_spaced_channels():
    header = wavelength_header()
    logarithmic = dataclasses.replace(
        header.axis, coordinate=np.geomspace(6400.0, 6900.0, header.axis.channels)
    )
    with pytest.raises(InputError, match="evenly spaced"):
        build_model(dataclasses.replace(header, axis=logarithmic), OpticalConfig(ils="sinc"))
