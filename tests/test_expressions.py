import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfit.io.errors import InputError
from streamfit.stream.expressions import parse, parse_named

COLUMNS = frozenset({"velocity", "snr", "status", "Halpha_flux", "NII6583_flux"})
BITS = {"NO_DATA": 1, "NO_SIGNAL": 4}
TABLE = {
    "velocity": np.array([-20.0, 5.0, np.nan, 300.0], np.float32),
    "snr": np.array([1.0, 4.0, 9.0, 30.0], np.float32),
    "status": np.array([4, 0, 5, 2], np.int32),
    "Halpha_flux": np.array([1e-20, 2e-20, 3e-20, -1e-20], np.float32),
    "NII6583_flux": np.array([2e-20, 2e-20, 3e-20, 4e-20], np.float32),
}


def evaluate(text):
    return parse(text, COLUMNS, frozenset(BITS), option="--where").evaluate(TABLE, BITS)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("snr > 3", [False, True, True, True]),
        ("(snr > 3) & (velocity < 100)", [False, True, False, False]),
        ("~(snr > 3) | (velocity == 300)", [True, False, False, True]),
        ("(status & NO_SIGNAL) == 0", [False, True, False, True]),
        ("status & NO_SIGNAL == 0", [False, True, False, True]),
        ("(status & (NO_SIGNAL | NO_DATA)) != 0", [True, False, True, False]),
        ("isfinite(velocity)", [True, True, False, True]),
        ("where(snr > 3, velocity, 0) > 0", [False, True, False, True]),
        ("-velocity > 10", [True, False, False, False]),
    ],
)
def test_conditions_give_what_numpy_gives(text, answer):
    found = evaluate(text)
    assert found.dtype == bool
    assert found.tolist() == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("NII6583_flux / Halpha_flux", [2.0, 1.0, 1.0, -4.0]),
        ("status / 2", [2.0, 0.0, 2.5, 1.0]),
        ("10**-2 * snr", [0.01, 0.04, 0.09, 0.3]),
        ("hypot(snr, 0)", [1.0, 4.0, 9.0, 30.0]),
        ("snr ** 2 % 7", [1.0, 2.0, 4.0, 4.0]),
        ("maximum(snr, 5)", [5.0, 5.0, 9.0, 30.0]),
    ],
)
def test_quantities_give_what_numpy_gives(text, answer):
    assert evaluate(text) == pytest.approx(answer, rel=1e-6)


def test_small_fluxes_do_not_underflow():
    assert evaluate("Halpha_flux * NII6583_flux")[0] == pytest.approx(2e-40, rel=1e-6)


def test_a_derived_quantity_may_be_a_truth_value():
    name, expression = parse_named("good = status == 0", COLUMNS, frozenset(), option="--derive")
    assert (name, expression.logical, expression.columns) == ("good", True, {"status"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("velocty > 3", "there is no column 'velocty'; the nearest is velocity"),
        ("Ha_flux > 3", "the nearest is Halpha_flux"),
        ("zzz > 3", "there is no column 'zzz'; try velocity"),
        ("sqroot(snr) > 1", "there is no function 'sqroot'; the nearest is sqrt"),
        ("snr > 3 & velocity < 4", "put each comparison in parentheses"),
        ("1 < snr < 3", "put each comparison in parentheses and join them with &"),
        ("(snr > 3) & status", "put each comparison in parentheses"),
        ("snr > 3 and velocity < 4", "write & | ~ instead of and, or, not"),
        ("not snr", "write & | ~"),
        ("snr is 3", "compare with <"),
        ("snr >", "not an expression"),
        ("3 > 2", "names no column"),
        ("(snr > 3) + 1 > 1", "'snr > 3' is true or false, not a number"),
        ("where(snr, 1, 2) > 1", "the first value of where must be a comparison"),
        ("sqrt(snr, 2) > 1", "sqrt takes 1 values, not 2"),
        ("sqrt(x=snr) > 1", "is not allowed"),
        ("snr << 3 > 1", "this operator is not allowed"),
        ("snr ** 100 > 1", "the exponent 100 is over 64"),
        ("9 ** 9 ** 9 * snr > 1", "write the exponent '9 ** 9' as one number"),
        ("(9 ** 9) ** 9 * snr > 1", "write '9 ** 9' as one number"),
        ("snr > 0 ** -1", "'0 ** (-1)' is not a finite number"),
        ("snr > 'a'", "is not allowed"),
        ("snr > True", "is not allowed"),
        ("snr > 1j", "is not allowed"),
        ("snr.real > 1", "'snr.real' is not allowed"),
        ("snr[0] > 1", "is not allowed"),
        ("__import__('os').system('true')", "is not allowed"),
        ("[s for s in snr]", "is not allowed"),
        ("(lambda: snr)() > 1", "is not allowed"),
        ("sum(snr) > 1", "there is no function 'sum'"),
        ("s" * 3000, "3000 characters, more than 2000"),
        ("(" * 900 + "snr" + ")" * 900, "not an expression"),
    ],
)
def test_what_is_refused_is_named(text, words):
    with pytest.raises(InputError) as caught:
        evaluate(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("velocity", "write NAME=EXPR"),
        ("velocity == 3", "write NAME=EXPR"),
        ("velocity=snr", "velocity is taken already"),
        ("NO_DATA=snr", "NO_DATA is taken already"),
        ("sqrt=snr", "sqrt is taken already"),
        ("a/b=snr", "'a/b' is no name"),
        ("../x=snr", "is no name"),
    ],
)
def test_names_of_derived_quantities_are_checked(text, words):
    with pytest.raises(InputError) as caught:
        parse_named(text, COLUMNS, frozenset(BITS), option="--derive")
    assert words in str(caught.value)


_LEAF = st.sampled_from(["velocity", "snr", "2", "0.5", "1e-3"])
_NUMBER = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda three: f"({''.join(three)})"),
        inner.map(lambda one: f"sqrt(abs({one}))"),
        inner.map(lambda one: f"-({one})"),
    ),
    max_leaves=8,
)


@given(_NUMBER)
def test_arithmetic_agrees_with_numpy(text):
    names = {name: TABLE[name].astype(float) for name in ("velocity", "snr")}
    with np.errstate(all="ignore"):
        wanted = eval(text, {"sqrt": np.sqrt, "abs": np.abs}, names | {"np": np})
        found = evaluate(f"({text}) + 0 * snr")
        wanted = np.asarray(wanted, float) + 0 * names["snr"]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
