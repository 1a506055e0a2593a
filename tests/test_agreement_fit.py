"""Fits beside the truth they were drawn from."""

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from streamfit.tools.agreement_fit import KINDS, fit_agreement, fit_table
from streamfit.tools.xray_models import MODELS


def tables(n=400, *, model="powerlaw", factor=1.0):
    """Fits that scatter by `factor` times their errors."""
    rng = np.random.default_rng(1)
    names = ("index", "nH", "norm")
    true = {"index": np.full(n, 1.7), "nH": np.full(n, 0.1), "norm": np.full(n, 1e-4)}
    found = {"index": true["index"] + 0.1 * factor * rng.standard_normal(n)}
    for name in names[1:]:
        found[name] = true[name] * np.exp(0.2 * factor * rng.standard_normal(n))
    errors = {"index_err": np.full(n, 0.1)} | {f"{k}_err": 0.2 * found[k] for k in names[1:]}
    obs = [f"o{i}" for i in range(n)]
    fitted = pa.table(
        {
            "members": [[name] for name in obs],
            "model": ["powerlaw"] * n,
            "status": np.zeros(n, np.int32),
            **found,
            **errors,
        }
    )
    return fitted, pa.table({"obs": obs, "model": [model] * n, **true})


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_pulls_are_as_wide_as_they_were_drawn(factor):
    found = fit_agreement(*tables(factor=factor))
    assert [one.name for one in found] == ["index", "nH", "norm"]
    for one in found:
        assert one.width == pytest.approx(factor, rel=0.15)
        assert one.pull == pytest.approx(0.0, abs=0.15 * factor)
    assert found[0].scatter == pytest.approx(0.1 * factor, rel=0.15)
    console = Console(width=100)
    with console.capture() as capture:
        console.print(fit_table(found, "powerlaw"))
    assert "ln norm" in capture.get()


def test_sources_of_another_kind_are_left_out():
    assert fit_agreement(*tables(model="thermal")) == []


def test_kinds_are_those_of_the_simulation():
    assert set(KINDS.values()) <= set(MODELS)
