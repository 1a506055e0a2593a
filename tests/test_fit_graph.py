import threading

import numpy as np
import pytest
from optical_cubes import fts_header, fts_spectra
from synthetic_spectra import BOUNDS, NAMES, REST, WIDTH, WINDOW, sn3_axis, sn3_sample

from streamfit.kernels import varpro
from streamfit.kernels.axis import SPEED_OF_LIGHT
from streamfit.kernels.emission import Continuum, Shape, profiles, tie
from streamfit.models.fit_graph import GraphFitter
from streamfit.stream.config import OpticalConfig
from streamfit.stream.optical import OpticalRecipe

AIR = {"Hbeta": 4861.33, "OIII4959": 4958.91, "OIII5007": 5006.84}
OXYGEN = {("OIII5007", "OIII4959"): 3.0}
NITROGEN = {("NII6583", "NII6548"): 3.0}


@pytest.fixture(scope="module")
def graph():
    return GraphFitter("cpu")


def sn3(count, *, seed, **model):
    """Give the arguments of a fit of SITELLE spectra."""
    sample = sn3_sample(count, seed=seed)
    emission = tie(
        dict(zip(NAMES, REST, strict=True)), shape=Shape.SINCGAUSS, wavenumber=True, **model
    )
    geometry = varpro.Geometry(
        sample.lines.coordinate, np.ones(count), np.full((count, REST.size), WIDTH)
    )
    guess = tuple(np.repeat(sample.start[:, k, None], emission.groups, axis=1) for k in (0, 1))
    arguments = sample.data, sample.weight, emission, Continuum((WINDOW,), 1), geometry
    return arguments, {"start": guess, "bounds": varpro.Bounds(*BOUNDS)}


def simulated(emission, coordinate, windows, *, width, scale, seed, bounds):
    """Give the arguments of a fit of lines of any shape, drawn from the exact profiles."""
    rng, count = np.random.default_rng(seed), len(width)
    shape = (count, emission.groups)
    velocity, broadening = rng.uniform(-200, 200, shape), rng.uniform(15, 90, shape)
    centre = emission.centres(velocity) / scale[:, None]
    sigma = emission.sigmas(velocity, broadening) / scale[:, None]
    share = emission.shares(velocity, broadening, width)
    peak = rng.uniform(0.3, 1.0, (count, emission.columns))[:, emission.column] * share
    data = np.array(
        [
            peak[s] @ profiles(emission, coordinate, centre[s], sigma[s], width[s] / scale[s])
            for s in range(count)
        ]
    )
    noise = rng.uniform(0.01, 0.05, data.shape)
    guess = velocity + 10 * rng.standard_normal(shape), broadening * rng.uniform(0.7, 1.4, shape)
    geometry = varpro.Geometry(coordinate, scale, width)
    data += 0.2 + noise * rng.standard_normal(data.shape)
    arguments = data, 1 / noise, emission, Continuum(windows, 1), geometry
    return arguments, {"start": guess, "bounds": bounds}


def assert_same(found, expected, *, tolerance=1e-3):
    """Compare two fits in units of the error bars."""
    error = np.sqrt(np.diagonal(expected.covariance, axis1=1, axis2=2))
    size = found.velocity.shape[1]
    pairs = [
        (found.velocity, expected.velocity, error[:, 0 : 2 * size : 2]),
        (found.broadening, expected.broadening, error[:, 1 : 2 * size : 2]),
        (found.linear, expected.linear, error[:, 2 * size :]),
    ]
    for got, wanted, sigma in pairs:
        np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
        apart = np.abs(got - wanted) / sigma
        assert not (apart > tolerance).any(), np.nanmax(apart)
    np.testing.assert_allclose(found.chi2, expected.chi2, atol=1e-4)
    np.testing.assert_allclose(found.flat_chi2, expected.flat_chi2, rtol=1e-9)
    np.testing.assert_array_equal(found.outcome, expected.outcome)
    np.testing.assert_array_equal(found.dof, expected.dof)
    done = (expected.outcome & varpro.Outcome.MAX_ITERATIONS) == 0
    unit = (error[:, :, None] * error[:, None, :])[done]
    got, wanted = found.covariance[done] / unit, expected.covariance[done] / unit
    np.testing.assert_allclose(got, wanted, atol=1e-3)


def both(graph, arguments, options):
    """Fit with the graph and with the compiled loops."""
    return graph(*arguments, **options), varpro.fit(*arguments, **options)


def test_the_graph_agrees_with_the_compiled_engine_on_sitelle_spectra(graph):
    found, expected = both(graph, *sn3(300, seed=3, ratios=NITROGEN))
    assert_same(found, expected)
    np.testing.assert_array_equal(found.evaluations, expected.evaluations)


@pytest.mark.slow
def test_the_graph_agrees_within_a_thousandth_of_an_error_bar_on_10000_spectra(graph):
    assert_same(*both(graph, *sn3(10_000, seed=4, ratios=NITROGEN)))


def test_each_spaxel_has_its_own_axis_and_line_width(graph):
    corr = np.linspace(1.021, 1.061, 60)
    emission = tie(dict(zip(NAMES, REST, strict=True)), shape=Shape.SINCGAUSS, wavenumber=True)
    bounds = varpro.Bounds((-500.0, 500.0), (1.0, 200.0))
    for scale, width in ((corr / corr[30], corr), (np.ones(60), corr)):
        case = simulated(
            emission,
            sn3_axis()[1:],  # an odd number of channels
            (WINDOW,),
            width=np.outer(width, np.full(5, WIDTH / 1.02)),
            scale=scale,
            seed=5,
            bounds=bounds,
        )
        assert_same(*both(graph, *case))


@pytest.mark.parametrize("shape", [Shape.SINC, Shape.SINCGAUSS, Shape.GAUSSIAN])
@pytest.mark.parametrize("groups", [(), (("Hbeta",), ("OIII4959", "OIII5007"))])
def test_every_shape_with_ties_and_groups_in_wavelength(graph, shape, groups):
    emission = tie(AIR, shape=shape, wavenumber=False, ratios=OXYGEN, groups=groups)
    coordinate = np.arange(4780.0, 5080.0, 1.25)
    windows = ((4800.0, 4920.0), (4920.0 + 1e-6, 5060.0))
    case = simulated(
        emission,
        coordinate,
        windows,
        width=np.full((40, 3), 1.1),
        scale=np.ones(40),
        seed=6,
        bounds=varpro.Bounds((-400.0, 400.0), (12.0, 120.0)),
    )
    assert_same(*both(graph, *case))


def test_uneven_channels_and_widths_of_a_gaussian(graph):
    emission = tie(AIR, shape=Shape.GAUSSIAN, wavenumber=False, ratios=OXYGEN)
    coordinate = 4780.0 * np.exp(np.arange(900) * 20.0 / SPEED_OF_LIGHT)
    width = np.random.default_rng(8).uniform(0.8, 1.6, (40, 3))
    bounds = varpro.Bounds((-400.0, 400.0), (12.0, 120.0))
    windows = ((coordinate[0], coordinate[-1]),)
    case = simulated(
        emission, coordinate, windows, width=width, scale=np.ones(40), seed=7, bounds=bounds
    )
    assert_same(*both(graph, *case))


def test_masks_bounds_and_bad_spectra_have_the_same_outcome(graph):
    (data, weight, emission, continuum, geometry), options = sn3(40, seed=9)
    data, weight = data.copy(), weight.copy()
    data[0] = np.nan  # nothing left
    data[1, ::7] = np.nan
    weight[2, ::5] = 0.0
    weight[3, geometry.coordinate < 14950] = 0.0  # the sulphur doublet
    weight[4, 8:] = 0.0  # as many channels as parameters
    geometry.width[5] = np.nan
    geometry.scale[6] = np.nan
    options["start"][0][7] = np.nan
    weight[8, geometry.coordinate > 14900] = 0.0
    weight[8, geometry.coordinate < 14800] = 0.0  # lines without a channel
    data[9] = 1.0  # a continuum and no noise: amplitudes of rounding
    options["bounds"] = varpro.Bounds((-300.0, 300.0), (30.0, 60.0))
    found, expected = both(graph, (data, weight, emission, continuum, geometry), options)
    rows = np.r_[0:9, 10:40]
    for name in ("outcome", "dof"):
        np.testing.assert_array_equal(getattr(found, name)[rows], getattr(expected, name)[rows])
    assert (found.outcome & varpro.Outcome.AT_BOUND).any()
    assert (found.outcome == varpro.Outcome.NO_DATA).sum() == 5
    for name in ("velocity", "broadening", "linear", "chi2", "flat_chi2", "covariance"):
        got, wanted = getattr(found, name)[rows], getattr(expected, name)[rows]
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_search_that_runs_out_of_evaluations_says_so(graph):
    arguments, options = sn3(20, seed=10)
    found = graph(*arguments, **options, iterations=2)
    expected = varpro.fit(*arguments, **options, iterations=2)
    np.testing.assert_array_equal(found.outcome, expected.outcome)
    np.testing.assert_array_equal(found.evaluations, expected.evaluations)
    assert (found.outcome == varpro.Outcome.MAX_ITERATIONS).any()


def test_neighbours_and_threads_change_nothing(graph):
    (data, weight, emission, continuum, geometry), options = sn3(60, seed=11)
    rows = np.random.default_rng(0).permutation(60)
    part = data[rows], weight[rows], emission, continuum, geometry.part(rows)
    start = tuple(guess[rows] for guess in options["start"])
    whole = graph(data, weight, emission, continuum, geometry, **options)
    found = []
    crew = [
        threading.Thread(
            target=lambda: found.append(graph(*part, start=start, bounds=options["bounds"]))
        )
        for _ in range(2)
    ]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    for fit in found:
        np.testing.assert_allclose(fit.velocity, whole.velocity[rows], rtol=1e-12)
        np.testing.assert_allclose(fit.chi2, whole.chi2[rows], rtol=1e-12)


def test_nothing_to_fit_is_no_error(graph):
    (data, weight, emission, continuum, geometry), options = sn3(2, seed=12)
    none = np.arange(0)
    start = tuple(guess[none] for guess in options["start"])
    fit = graph(
        data[none],
        weight[none],
        emission,
        continuum,
        geometry.part(none),
        start=start,
        bounds=options["bounds"],
    )
    assert fit.velocity.shape == (0, 1)


def test_shapes_that_disagree_are_refused(graph):
    (data, weight, emission, continuum, geometry), options = sn3(2, seed=12)
    with pytest.raises(ValueError, match="disagree"):
        graph(data[:, 1:], weight, emission, continuum, geometry, **options)


def test_the_optical_recipe_gives_the_same_table_with_either_engine(graph):
    rng = np.random.default_rng(13)
    count = 40
    header = fts_header(calibrated=False, has_imaginary=False)
    batch = fts_spectra(
        header,
        velocity=rng.uniform(-300, 300, count),
        broadening=rng.uniform(10, 80, count),
        amplitude=rng.uniform(0.05, 1.0, (count, 5)),
        corr=rng.uniform(1.0291, 1.0309, count),
    )
    tables = [
        OpticalRecipe(header, OpticalConfig(), fitter).fit(batch) for fitter in (graph, varpro.fit)
    ]
    for name in ("velocity", "broadening", "Halpha_flux", "SII6731_flux"):
        found, expected = (np.asarray(table[name], dtype=float) for table in tables)
        error = np.asarray(tables[1][f"{name}_err"], dtype=float)
        assert (np.abs(found - expected) < 1e-3 * error + 1e-6 * np.abs(expected)).all()
    assert tables[0]["status"].equals(tables[1]["status"])
