"""What the user may write after --where and --derive: checked by reading it, then left to numexpr.

An expression is read with `ast` and refused unless every node is a column, a named status bit, a
number, arithmetic, a comparison, ``& | ~`` or a function of numexpr that works element by element.
Nothing else reaches numexpr, which evaluates text. A trap of Python's grammar is refused too:
``a > 1 & b < 2`` is a chain of three and would give a wrong map without a word. Columns are
evaluated in double precision, because a flux of 1e-20 squared is nothing in single.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numexpr
import numpy as np
from numexpr.expressions import functions as _known_to_numexpr
from numpy.typing import NDArray

from ..io.errors import InputError

LONGEST = 2000
LARGEST_POWER = 64

_PAIRS = frozenset({"arctan2", "copysign", "fmod", "hypot", "maximum", "minimum"})
_PREDICATES = frozenset({"isfinite", "isinf", "isnan"})
_SINGLE = frozenset({"abs", "ceil", "floor", "round", "sign", "sqrt", "trunc"})
_SINGLE |= {"sin", "cos", "tan", "arcsin", "arccos", "arctan"}
_SINGLE |= {"sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh"}
_SINGLE |= {"exp", "expm1", "log", "log10", "log1p", "log2"}
FUNCTIONS = (_PAIRS | _PREDICATES | _SINGLE | {"where"}) & frozenset(_known_to_numexpr)
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that passed the check.

    Parameters
    ----------
    text : str
        As the user wrote it.
    checked : str
        What numexpr is given: `text` with powers of two numbers worked out.
    columns : frozenset of str
        The columns it needs.
    logical : bool
        True where it answers yes or no.
    """

    text: str
    checked: str
    columns: frozenset[str]
    logical: bool

    def evaluate(self, table: Mapping[str, NDArray[Any]], bits: Mapping[str, int]) -> NDArray[Any]:
        """Evaluate on columns.

        Parameters
        ----------
        table : mapping of str to ndarray, shape (spaxel,)
            At least the columns of `columns`.
        bits : mapping of str to int
            The status bits by name.

        Returns
        -------
        ndarray of bool or float64, shape (spaxel,)
            Bool where `logical`; NaN and infinities as arithmetic gives them.
        """
        given = {name: _wide(table[name]) for name in self.columns}
        constants = {name: np.int64(bit) for name, bit in bits.items()}
        rows = len(next(iter(given.values())))
        value = numexpr.evaluate(
            self.checked, local_dict=constants | given, global_dict={}, truediv=True
        )
        return np.broadcast_to(np.asarray(value, bool if self.logical else np.float64), (rows,))


def _wide(column: NDArray[Any]) -> NDArray[Any]:
    """Turn a column into the widest type of its kind."""
    return column.astype(np.int64 if column.dtype.kind in "iub" else np.float64, copy=False)


def parse(text: str, columns: frozenset[str], bits: frozenset[str], *, option: str) -> Expression:
    """Check an expression.

    Parameters
    ----------
    text : str
        What the user wrote.
    columns, bits : frozenset of str
        The names that may occur.
    option : str
        Where the text came from, as the error names it: "--where".

    Raises
    ------
    InputError
        Naming the part that is not allowed, and the nearest name where a name is wrong.
    """
    if len(text) > LONGEST:
        raise InputError(f"{option}: {len(text)} characters, more than {LONGEST}; shorten it")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it cannot be read"
        raise InputError(f"{option} {text!r}: not an expression ({reason})") from None
    check = _Check(f"{option} {text!r}", columns, bits)
    try:
        logical = check.sort(tree.body)
    except RecursionError:
        raise InputError(f"{option} {text!r}: too deeply nested; write it in steps") from None
    if not check.used:
        raise InputError(f"{option} {text!r}: names no column, for example {_example(columns)}")
    folded = ast.fix_missing_locations(_FoldPowers(check.where).visit(tree))
    return Expression(text.strip(), ast.unparse(folded), frozenset(check.used), logical)


def parse_named(
    text: str, columns: frozenset[str], bits: frozenset[str], *, option: str
) -> tuple[str, Expression]:
    """Check NAME=EXPR; the name must be new and fit for a file name.

    Raises
    ------
    InputError
        If there is no name, if it is taken, or for what `parse` refuses.
    """
    name, equals, body = text.partition("=")
    name = name.strip()
    if not equals or not body.strip() or body.startswith("="):
        raise InputError(f"{option} {text!r}: write NAME=EXPR, for example N2=NII6583_flux/2")
    if not (name.isascii() and name.isidentifier()):
        raise InputError(f"{option} {text!r}: {name!r} is no name; use letters, digits and _")
    if name in columns | bits | FUNCTIONS:
        raise InputError(f"{option} {text!r}: {name} is taken already; choose another name")
    return name, parse(body, columns, bits, option=f"{option} {name}")


@dataclass(slots=True)
class _Check:
    """Walk over an expression; `sort` says whether a node is logical (True) or a number."""

    where: str
    columns: frozenset[str]
    bits: frozenset[str]
    used: set[str]

    def __init__(self, where: str, columns: frozenset[str], bits: frozenset[str]) -> None:
        self.where, self.columns, self.bits, self.used = where, columns, bits, set()

    def sort(self, node: ast.expr) -> bool:
        """Check a node and all below it."""
        match node:
            case ast.Constant(value=value) if type(value) in (int, float):
                return False
            case ast.Name(id=name):
                return self._name(name)
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(left, op, right)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                self._number(operand)
                return False
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return self.sort(operand)
            case ast.Compare():
                return self._comparison(node)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(name, args)
            case ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                raise InputError(f"{self.where}: write & | ~ instead of and, or, not")
        raise InputError(f"{self.where}: {_shown(node)} is not allowed in an expression")

    def _name(self, name: str) -> bool:
        if name in self.columns:
            self.used.add(name)
        elif name not in self.bits:
            raise InputError(f"{self.where}: there is no column {name!r}{self._nearest(name)}")
        return False

    def _nearest(self, name: str) -> str:
        known = {known.lower(): known for known in sorted(self.columns | self.bits)}
        near = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        return f"; the nearest is {known[near[0]]}" if near else f"; try {_example(self.columns)}"

    def _binary(self, left: ast.expr, op: ast.operator, right: ast.expr) -> bool:
        if isinstance(op, ast.BitAnd | ast.BitOr | ast.BitXor):
            sorts = self.sort(left), self.sort(right)
            if sorts[0] != sorts[1]:
                raise InputError(f"{self.where}: put each comparison in parentheses")
            return sorts[0]
        if not isinstance(op, _ARITHMETIC):
            raise InputError(f"{self.where}: this operator is not allowed; use + - * / ** % & | ~")
        self._number(left)
        self._number(right)
        if isinstance(op, ast.Pow):
            self._power(left, right)
        return False

    def _power(self, base: ast.expr, exponent: ast.expr) -> None:
        number = _literal(exponent)
        if number is None and not _has_name(exponent):
            raise InputError(f"{self.where}: write the exponent {_shown(exponent)} as one number")
        if number is not None and abs(number) > LARGEST_POWER:
            raise InputError(f"{self.where}: the exponent {number:g} is over {LARGEST_POWER}")
        if _literal(base) is None and not _has_name(base):
            raise InputError(f"{self.where}: write {_shown(base)} as one number")

    def _comparison(self, node: ast.Compare) -> bool:
        if len(node.ops) > 1:
            raise InputError(
                f"{self.where}: put each comparison in parentheses and join them with &"
            )
        if not isinstance(node.ops[0], _COMPARISONS):
            raise InputError(f"{self.where}: compare with < <= > >= == or !=")
        self._number(node.left)
        self._number(node.comparators[0])
        return True

    def _call(self, name: str, args: list[ast.expr]) -> bool:
        if name not in FUNCTIONS:
            near = get_close_matches(name, FUNCTIONS, n=1, cutoff=0.5)
            hint = f"; the nearest is {near[0]}" if near else ""
            raise InputError(f"{self.where}: there is no function {name!r}{hint}")
        wanted = _arguments(name)
        if len(args) != wanted:
            raise InputError(f"{self.where}: {name} takes {wanted} values, not {len(args)}")
        if name == "where":
            if not self.sort(args[0]):
                raise InputError(f"{self.where}: the first value of where must be a comparison")
            args = args[1:]
        for argument in args:
            self._number(argument)
        return name in _PREDICATES

    def _number(self, node: ast.expr) -> None:
        if self.sort(node):
            raise InputError(f"{self.where}: {_shown(node)} is true or false, not a number")


class _FoldPowers(ast.NodeTransformer):
    """Work out ``10**-17``: numexpr would do so in integers and give zero."""

    def __init__(self, where: str) -> None:
        self.where = where

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        base, exponent = _literal(node.left), _literal(node.right)
        if not isinstance(node.op, ast.Pow) or base is None or exponent is None:
            return node
        try:
            value = float(base) ** float(exponent)
        except (OverflowError, ZeroDivisionError):
            value = np.inf
        if not isinstance(value, float) or not np.isfinite(value):
            raise InputError(f"{self.where}: {_shown(node)} is not a finite number")
        return ast.Constant(value)


def _arguments(name: str) -> int:
    return 3 if name == "where" else 2 if name in _PAIRS else 1


def _literal(node: ast.expr) -> float | None:
    """Give the value of a number written out, with or without a sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _literal(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    return None


def _has_name(node: ast.expr) -> bool:
    return any(isinstance(inner, ast.Name) for inner in ast.walk(node))


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node)
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _example(columns: frozenset[str]) -> str:
    return next((name for name in ("velocity", "snr") if name in columns), min(columns, default=""))
