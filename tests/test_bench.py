import json

import numpy as np
import pytest
import scipy_reference as reference
from synthetic_spectra import BOUNDS, REST, WIDTH, sn3_axis

from streamfit.tools import bench
from streamfit.tools.fit_engines import (
    fit_numpy,
    fit_scipy,
    numba_engine,
    profile,
    profiles,
    synthetic,
)


@pytest.fixture(scope="module")
def problem():
    return synthetic(24, seed=5)


def test_the_problem_is_the_one_that_is_quoted(problem):
    assert problem.axis.size == 364
    np.testing.assert_allclose(problem.axis, sn3_axis(), rtol=1e-14)
    np.testing.assert_allclose(problem.rest, REST, rtol=1e-14)
    assert problem.width == pytest.approx(WIDTH, rel=1e-14)
    assert problem.rest[0] / (1.20671 * problem.width) == pytest.approx(4900, abs=10)
    assert 1 / 100 <= problem.noise.min() < problem.noise.max() <= 1 / 3


def test_profiles_and_slopes_are_those_of_the_reference(problem):
    theta = np.array([123.0, 41.0])
    f, by_v, by_b = profiles(problem, theta)
    lines = reference.Lines(problem.axis, problem.rest, np.full(5, problem.width))
    for k in range(5):
        p = np.r_[theta, np.eye(5)[k]]
        model, jacobian = lines.evaluate(p)
        np.testing.assert_allclose(f[k], model, rtol=0, atol=1e-13)
        np.testing.assert_allclose(by_v[k], jacobian[:, 0], rtol=0, atol=1e-13)
        np.testing.assert_allclose(by_b[k], jacobian[:, 1], rtol=0, atol=1e-13)
    np.testing.assert_array_equal(profile(problem, theta), f)
    np.testing.assert_array_equal(profiles(problem, theta[None, :])[0][0], f)


def test_all_engines_find_the_same_minima(problem):
    lines = reference.Lines(
        problem.axis, problem.rest, np.full(5, problem.width), windows=((14750.0, 15500.0),)
    )
    weight = np.ones(problem.axis.size)
    expected = [
        reference.fit(lines, y, weight / noise, start, BOUNDS).chi2
        for y, noise, start in zip(problem.data, problem.noise, problem.start, strict=True)
    ]
    for found in (
        fit_scipy(problem),
        fit_scipy(problem, shared=True),
        fit_numpy(problem),
        numba_engine(problem, 1)(),
        numba_engine(problem, 2)(),
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def test_the_benchmark_prints_a_line_for_each_engine(capsys):
    assert bench.main(["fit", "-n", "6", "--rounds", "2", "--threads", "1,2", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    engines = [(line["engine"], line["threads"]) for line in lines]
    assert engines == [
        ("scipy", 1),
        ("scipy, shared", 1),
        ("numpy", 1),
        ("numba", 1),
        ("numba", 2),
    ]
    assert all(line["spectra"] == 6 for line in lines)
    assert all(line["agree"] == 1.0 for line in lines)
    assert (lines[0]["ratio"], lines[0]["core_ratio"]) == (1.0, 1.0)
    assert lines[3]["core_ratio"] > 20  # two hundred on an idle machine
    assert {"cpu", "cores", "python", "numpy", "scipy", "numba"} <= set(lines[0]["machine"])


def test_the_benchmark_prints_a_table(capsys):
    assert bench.main(["fit", "-n", "4", "--rounds", "1", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "x scipy" in printed
    assert "numba" in printed


@pytest.mark.parametrize("wrong", [["-n", "3", "--rounds", "4"], ["--threads", "0"], ["-n", "x"]])
def test_what_cannot_be_measured_is_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        bench.main(["fit", *wrong])
    assert capsys.readouterr().err
