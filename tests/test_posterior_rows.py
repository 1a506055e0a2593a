"""Posteriors as the optical recipe gives them: columns, priors, noise, and every refusal."""

import dataclasses

import numpy as np
import pytest
from optical_cubes import (
    doublet_amplitudes,
    fts_header,
    fts_spectra,
    gaussian_spectra,
    wavelength_header,
)

from streamfit.io.errors import InputError
from streamfit.io.results import FitStatus
from streamfit.stream.config import OpticalConfig
from streamfit.stream.layers import build_config
from streamfit.stream.optical import OpticalRecipe

FLAT = OpticalConfig(bayes=True, prior="flat", no_mdn=True)
SPAXELS = 60
RNG = np.random.default_rng(21)
VELOCITY, BROADENING = RNG.uniform(-400, 400, SPAXELS), RNG.uniform(15, 90, SPAXELS)


def table_of(recipe, batch):
    record = recipe.fit(batch)
    return {name: record[name].to_numpy(zero_copy_only=False) for name in record.schema.names}


def sitelle(noise=0.05, seed=1):
    header = fts_header()
    batch = fts_spectra(
        header,
        velocity=VELOCITY,
        broadening=BROADENING,
        amplitude=doublet_amplitudes(SPAXELS),
        noise=noise,
        seed=seed,
    )
    return header, batch


def test_bright_posteriors_are_the_fit_with_its_errors():
    header, batch = sitelle(noise=0.02)
    recipe = OpticalRecipe(header, FLAT)
    table = table_of(recipe, batch)
    for name in ("velocity", "broadening"):
        sigma, error = table[f"post_{name}_sigma"], table[f"{name}_err"]
        away = np.abs(table[f"post_{name}"] - table[name]) / error
        # Where a narrow line leaves the broadening open the posterior is skewed.
        assert np.quantile(away, 0.8) < 0.1, name
        assert np.median(sigma / error) == pytest.approx(1.0, abs=0.03), name
        middle = table[f"post_{name}_q50"]
        assert (table[f"post_{name}_q16"] < middle).all()
        assert (middle < table[f"post_{name}_q84"]).all()
    ratio = table["post_Halpha_flux"] / table["Halpha_flux"]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.01)
    errors = table["post_NII6548_flux_sigma"] / table["NII6548_flux_err"]
    assert np.median(errors) == pytest.approx(1.0, abs=0.05)
    assert (table["log_evidence"] > 100).all()
    assert not (table["status"] & FitStatus.POSTERIOR_ROUGH).any()


def test_columns_say_their_unit_and_the_table_its_prior():
    header, _ = sitelle()
    recipe = OpticalRecipe(header, FLAT)
    for name in recipe.schema.names:
        if name.startswith("post_"):
            metadata = recipe.schema.field(name).metadata
            expected = b"erg/s/cm**2" if "flux" in name else b"km/s"
            assert metadata[b"unit"] == expected
            assert metadata[b"description"]
    assert recipe.schema.metadata[b"prior"].startswith(b"flat over velocity -1000 to 1000")
    without = OpticalRecipe(header, OpticalConfig(no_mdn=True))
    assert not any("post_" in name for name in without.schema.names)


def test_posteriors_have_the_noise_of_the_finished_fit():
    """Bright wings raise the first estimate of the noise; the posterior must not keep it."""
    header, batch = sitelle(noise=0.002)
    table = table_of(OpticalRecipe(header, FLAT), batch)
    ratio = table["post_velocity_sigma"] / table["velocity_err"]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.02)


def test_uneven_weights_and_masked_channels_are_integrated_too():
    header = wavelength_header()
    flux = np.array([10.0, 30.0, 20.0, 8.0, 7.0])
    batch = gaussian_spectra(header, velocity=VELOCITY, broadening=BROADENING + 30, flux=flux)
    batch.data[4, 100:140] = np.nan
    config = dataclasses.replace(FLAT, resolution=2500.0)
    table = table_of(OpticalRecipe(header, config), batch)
    pull = (table["post_velocity"] - VELOCITY) / table["post_velocity_sigma"]
    assert np.isfinite(pull).all()
    ratio = table["post_velocity_sigma"] / table["velocity_err"]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)


def test_the_network_is_the_prior_unless_it_is_left_out():
    assert build_config("optical", "c", flags={"bayes": "true"}).optical.prior == "mdn"
    alone = build_config("optical", "c", flags={"bayes": "true", "no_mdn": "true"})
    assert alone.optical.prior == "flat"
    assert 'prior = "mdn"' in build_config("optical", "c", sets=["bayes=true"]).to_toml()
    assert build_config("optical", "c").optical.prior is None
    with pytest.raises(InputError, match="--prior mdn needs the network that --no-mdn leaves out"):
        build_config("optical", "c", flags={"prior": "mdn", "no_mdn": "true"})
    with pytest.raises(InputError, match="is not a number above 0"):
        build_config("optical", "c", flags={"prior_width": "0"})
    with pytest.raises(InputError, match="neither true nor false"):
        build_config("optical", "c", sets=["bayes=perhaps"])


def test_a_wide_network_prior_hardly_narrows_and_the_bare_one_does_and_says_so():
    header, batch = sitelle(noise=0.15)
    widths = {}
    for width in (10.0, 1.0):
        config = OpticalConfig(bayes=True, prior="mdn", prior_width=width)
        recipe = OpticalRecipe(header, config)
        widths[width] = np.median(table_of(recipe, batch)["post_velocity_sigma"])
        assert ("count them twice" in " ".join(recipe.notes)) == (width == 1.0)
    flat = np.median(table_of(OpticalRecipe(header, FLAT), batch)["post_velocity_sigma"])
    assert widths[10.0] == pytest.approx(flat, rel=0.03)
    # Two equal densities multiplied: narrower by the square root of two, or nearly so.
    assert 0.6 < widths[1.0] / flat < 0.9


def test_several_groups_are_sampled():
    groups = (("Halpha", "NII6548", "NII6583"), ("SII6716", "SII6731"))
    header, batch = sitelle(noise=0.02)
    recipe = OpticalRecipe(header, dataclasses.replace(FLAT, groups=groups))
    table = table_of(recipe, batch)
    assert (table["k_hat"] < 0.7).mean() > 0.9
    for name in ("velocity", "velocity_g2"):
        ratio = table[f"post_{name}_sigma"] / table[f"{name}_err"]
        assert np.median(ratio) == pytest.approx(1.0, abs=0.04), name
        away = (table[f"post_{name}"] - table[name]) / table[f"{name}_err"]
        assert np.abs(away).max() < 0.5, name
    assert "log_bayes_factor" not in table
    with pytest.raises(InputError, match=r"--prior mdn is a density of one .*makes 2 groups"):
        build_config("optical", "c", sets=["bayes=true", "prior=mdn", "groups=A,B;C"])


def test_dead_spectra_have_no_posterior():
    header, batch = sitelle()
    batch.data[0] = np.nan
    table = table_of(OpticalRecipe(header, FLAT), batch)
    assert np.isnan(table["post_velocity"][0])
    assert np.isfinite(table["post_velocity"][1:]).all()
