"""Several components through the optical recipe: columns, counting, status bits, refusals."""

import dataclasses
import sys

import numpy as np
import pytest
from optical_cubes import (
    batch_of,
    doublet_amplitudes,
    fts_header,
    fts_spectra,
    gaussian_spectra,
    wavelength_header,
)

from streamfit.io.errors import InputError
from streamfit.io.results import FitStatus
from streamfit.stream import component_rows
from streamfit.stream.config import OpticalConfig
from streamfit.stream.layers import build_config
from streamfit.stream.optical import OpticalRecipe

COUNT = 16
RNG = np.random.default_rng(4)
MIDDLE = RNG.uniform(-300, 300, COUNT)
APART = RNG.uniform(90, 160, COUNT) * RNG.choice([-1, 1], COUNT)
WIDE = np.sort(RNG.uniform(12, 35, (2, COUNT)), axis=0)[::-1]  # the brighter one is broader
VELOCITY = np.stack([MIDDLE - APART / 2, MIDDLE + APART / 2])
AUTO = OpticalConfig(components="auto", bayes=True, no_mdn=True)


def table_of(recipe, batch):
    record = recipe.fit(batch)
    return {name: record[name].to_numpy(zero_copy_only=False) for name in record.schema.names}


def two_components(noise=0.03, seed=1):
    """Give spectra whose second component has 0.6 of the first."""
    header = fts_header()
    amplitude = doublet_amplitudes(COUNT)
    first = fts_spectra(
        header,
        velocity=VELOCITY[0],
        broadening=WIDE[0],
        amplitude=amplitude,
        noise=noise,
        seed=seed,
    )
    second = fts_spectra(
        header,
        velocity=VELOCITY[1],
        broadening=WIDE[1],
        amplitude=0.6 * amplitude,
        noise=0.0,
        continuum=0.0,
    )
    return header, batch_of(first.data + second.data, corr=np.full(COUNT, 1.03))


def one_component(noise=0.03, peak=1.0):
    header = fts_header()
    amplitude = peak * doublet_amplitudes(COUNT)
    batch = fts_spectra(
        header,
        velocity=MIDDLE,
        broadening=WIDE[0],
        amplitude=amplitude,
        noise=noise,
        continuum=0.3 * peak,
    )
    return header, batch


@pytest.fixture(scope="module")
def counted():
    header, batch = two_components()
    recipe = OpticalRecipe(header, AUTO)
    return recipe, batch, table_of(recipe, batch)


def test_two_components_are_found_counted_and_sorted(counted):
    _, _, table = counted
    assert (table["components"] == 2).all()
    assert (table["log_bayes_factor"] > component_rows.DECISIVE).all()
    flux = table["Halpha_flux"] - table["Halpha_flux_c2"]
    assert (flux > 0).all()
    found = np.stack([table["velocity"], table["velocity_c2"]])
    error = np.stack([table["velocity_err"], table["velocity_c2_err"]])
    pull = (found - VELOCITY) / error
    assert (np.abs(pull) < 3.5).mean() > 0.95
    assert 0.7 < pull.std() < 1.3


def test_posteriors_of_both_are_those_of_the_fit(counted):
    _, _, table = counted
    sound = table["k_hat"] < 0.7
    assert sound.mean() > 0.8
    rough = (table["status"] & FitStatus.POSTERIOR_ROUGH) > 0
    np.testing.assert_array_equal(rough, ~sound)
    for suffix in ("", "_c2"):
        ratio = table[f"post_velocity{suffix}_sigma"] / table[f"velocity{suffix}_err"]
        assert np.median(ratio[sound]) == pytest.approx(1.0, abs=0.06)
        flux = table[f"post_Halpha_flux{suffix}"] / table[f"Halpha_flux{suffix}"]
        assert np.median(flux[sound]) == pytest.approx(1.0, abs=0.03)
        middle = table[f"post_broadening{suffix}_q50"]
        assert (table[f"post_broadening{suffix}_q16"] < middle).all()


def test_names_of_the_first_component_are_those_of_one(counted):
    recipe, _, _ = counted
    alone = OpticalRecipe(fts_header(), OpticalConfig(bayes=True, no_mdn=True))
    first = [name for name in recipe.schema.names if "_c2" not in name]
    assert [n for n in first if n not in ("components", "k_hat", "log_bayes_factor")] == list(
        alone.schema.names
    )
    for name in ("velocity_c2", "broadening_c2_err", "Halpha_flux_c2", "SII6731_amplitude_c2_err"):
        assert name in recipe.schema.names
    for name in ("post_velocity_c2", "post_Halpha_flux_c2_sigma", "post_broadening_c2_q84"):
        assert recipe.schema.field(name).metadata[b"description"]
    assert recipe.schema.field("components").type == "int32"
    assert recipe.schema.metadata[b"prior"].endswith(b"of every component and group")


def test_a_row_is_the_same_in_any_batch(counted):
    recipe, batch, table = counted
    some = batch_of(batch.data[5:9], corr=batch.corr[5:9])
    part = dataclasses.replace(some, x=batch.x[5:9], y=batch.y[5:9])
    again = table_of(recipe, part)
    for name in ("velocity_c2", "log_bayes_factor", "post_velocity_c2", "k_hat"):
        # the scan seeds in single precision: fits agree to a part of their error
        scale = table["velocity_c2_err"][5:9] if "velocity" in name else 1.0
        np.testing.assert_allclose(again[name], table[name][5:9], atol=2e-2 * np.max(scale))


def test_one_component_stays_one_and_has_no_second():
    header, batch = one_component()
    table = table_of(OpticalRecipe(header, AUTO), batch)
    assert (table["components"] == 1).all()
    config = OpticalConfig(bayes=True, no_mdn=True, positive=True)
    alone = table_of(OpticalRecipe(header, config), batch)
    for name, values in alone.items():
        # Noise is measured once the lines of both fits are out: a part in a thousand.
        np.testing.assert_allclose(table[name], values, rtol=5e-3, err_msg=name)
    np.testing.assert_array_equal(table["log_bayes_factor"], table["log_evidence"])
    for name, values in table.items():
        if "_c2" in name:
            assert np.isnan(values).all(), name


def test_nothing_is_none_and_says_so():
    header, batch = one_component(noise=1.0, peak=1e-6)
    table = table_of(OpticalRecipe(header, AUTO), batch)
    assert (table["components"] == 0).all()
    assert ((table["status"] & FitStatus.NO_SIGNAL) > 0).all()
    np.testing.assert_array_equal(table["log_bayes_factor"], -table["log_evidence"])
    assert np.isnan(table["velocity_c2"]).all()


def test_auto_needs_no_bayes():
    header, batch = two_components()
    table = table_of(OpticalRecipe(header, dataclasses.replace(AUTO, bayes=False)), batch)
    assert (table["components"] == 2).all()
    assert np.isfinite(table["log_bayes_factor"]).all()
    assert not any(name.startswith("post_") for name in table)


def test_dead_and_flat_spectra_have_rows():
    header, batch = two_components()
    batch.data[0] = np.nan
    batch.data[1] = 0.0
    for config in (AUTO, OpticalConfig(components=2, no_mdn=True)):
        table = table_of(OpticalRecipe(header, config), batch)
        assert np.isnan(table["velocity"][:2]).all()
        assert np.isnan(table["velocity_c2"][:2]).all()
        assert table["status"][0] & FitStatus.NO_DATA
        assert (table["components"][2:] == 2).all()


def test_a_second_component_that_is_not_there_has_no_nonsense():
    """Asked for two where there is one: large errors, a bound or SINGULAR, component 1 kept."""
    header, batch = one_component()
    batch.data[3] = np.float32(0.3)  # nothing to fit twice
    table = table_of(OpticalRecipe(header, OpticalConfig(components=2, no_mdn=True)), batch)
    real = np.arange(COUNT) != 3
    second = np.abs(table["Halpha_flux_c2"] / table["Halpha_flux_c2_err"])
    told = (table["status"] & (FitStatus.AT_BOUND | FitStatus.SINGULAR)) > 0
    assert ((second < 5) | told | np.isnan(second))[real].all()
    near = np.abs(table["velocity"] - MIDDLE) < 5 * table["velocity_err"]
    assert (near | told)[real].mean() > 0.9
    assert table["components"][3] == 0
    lost = table["components"] == 1
    assert ((table["status"][lost] & FitStatus.SINGULAR) > 0).all()
    assert np.isnan(table["velocity_c2"][lost]).all()


def test_groups_and_components_and_uneven_weights():
    header = wavelength_header()
    flux = np.array([10.0, 30.0, 20.0, 8.0, 7.0])
    first = gaussian_spectra(header, velocity=VELOCITY[0], broadening=WIDE[0] + 20, flux=flux)
    second = gaussian_spectra(
        header, velocity=VELOCITY[0] + 300, broadening=WIDE[1] + 20, flux=0.5 * flux, sigma=1e-9
    )
    data = first.data + second.data - 0.5
    data[4, 100:140] = np.nan
    batch = batch_of(data, variance=first.variance)
    groups = (("Halpha", "NII6548", "NII6583"), ("SII6716", "SII6731"))
    config = OpticalConfig(components=2, no_mdn=True, resolution=2500.0, groups=groups)
    table = table_of(OpticalRecipe(header, config), batch)
    for suffix, velocity in (("", 0), ("_g2", 0), ("_c2", 300), ("_g2_c2", 300)):
        pull = table[f"velocity{suffix}"] - VELOCITY[0] - velocity
        pull /= table[f"velocity{suffix}_err"]
        assert (np.abs(pull) < 4).mean() > 0.9, suffix
    assert table["status"][4] & FitStatus.NONFINITE


def test_three_components_are_fitted():
    header, batch = two_components(noise=0.01)
    third = fts_spectra(
        header,
        velocity=MIDDLE + 500,
        broadening=WIDE[1],
        amplitude=0.4 * doublet_amplitudes(COUNT),
        noise=0.0,
        continuum=0.0,
    )
    batch = batch_of(batch.data + third.data, corr=batch.corr)
    config = OpticalConfig(components=3, no_mdn=True, velocity_range=(-1000, 1000))
    table = table_of(OpticalRecipe(header, config), batch)
    found = np.stack([table[f"velocity{k}"] for k in ("", "_c2", "_c3")])
    error = np.stack([table[f"velocity{k}_err"] for k in ("", "_c2", "_c3")])
    pull = (found - np.stack([*VELOCITY, MIDDLE + 500])) / error
    assert (np.abs(pull) < 4).all(axis=0).mean() > 0.9


def test_configurations_are_checked():
    assert build_config("optical", "c", flags={"components": "auto"}).optical.prior == "flat"
    assert build_config("optical", "c", flags={"components": "3"}).optical.components == 3
    assert build_config("optical", "c", sets=["components=2"]).optical.prior is None
    for wrong in ("0", "5", "two", "1.5"):
        with pytest.raises(InputError, match=r"is neither a number from 1 to 4 nor auto"):
            build_config("optical", "c", flags={"components": wrong})
    with pytest.raises(
        InputError, match=r"--prior mdn is a density .*--components auto has several"
    ):
        build_config("optical", "c", flags={"components": "auto", "prior": "mdn"})
    with pytest.raises(InputError, match=r"--refine is for posteriors that are sampled; give"):
        build_config("optical", "c", flags={"refine": "true", "bayes": "true"})


def test_refine_without_dynesty_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "dynesty", None)
    config = dataclasses.replace(AUTO, refine=True)
    with pytest.raises(InputError, match="--refine: dynesty is not installed; pip install"):
        OpticalRecipe(fts_header(), config)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_refined_rows_keep_their_k_hat_and_lose_the_bit(monkeypatch):
    pytest.importorskip("dynesty", reason="needs the extra `bayes`")
    header, batch = two_components()
    some = batch_of(batch.data[:1], corr=batch.corr[:1])
    config = OpticalConfig(components=2, bayes=True, no_mdn=True)
    sampled = table_of(OpticalRecipe(header, config), some)
    monkeypatch.setattr(component_rows.psis, "TRUSTED", -10.0)
    refined = table_of(OpticalRecipe(header, dataclasses.replace(config, refine=True)), some)
    assert not refined["status"][0] & FitStatus.POSTERIOR_ROUGH
    assert refined["log_evidence"][0] == pytest.approx(sampled["log_evidence"][0], abs=1.5)
    sigma = sampled["post_velocity_c2_sigma"]
    assert abs(refined["post_velocity_c2"] - sampled["post_velocity_c2"])[0] < 0.3 * sigma[0]
