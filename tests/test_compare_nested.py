"""The comparison with nested sampling: what is written, and runs drawn again from one."""

import numpy as np
import pytest

pytest.importorskip("dynesty", reason="needs the extra `bayes`")

from streamfit.tools.compare_nested import Beside, describe


def beside(shift: float, stretch: float) -> Beside:
    theirs = np.array([[100.0, 2.0], [30.0, 4.0]])
    own = theirs + np.array([[shift * 2.0, stretch * 2.0], [0.0, 0.0]])
    error = np.full((2, 2), 0.04)
    return Beside(own, theirs, error, np.array([50.0, 50.3, 0.2]), (80, 400_000))


def test_differences_stand_beside_the_errors_of_nested_sampling():
    text = describe([beside(0.02, 0.01), beside(0.1, 0.06)])
    assert "velocity: means within 0.05 sigma 50%, rms 0.072, worst 0.100" in text
    assert "sigmas within 5 % 50%, rms 0.043, worst 0.060, own error 0.020" in text
    assert "broadening: means within 0.05 sigma 100%" in text
    assert "ln evidence: -0.300 on average, rms 0.300, worst 0.300" in text
    assert "within three of its errors 100%" in text
    assert "evaluations: 80, dynesty 400000" in text
