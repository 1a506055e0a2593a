"""The search in the graph of `build_fit_graph.py`: Levenberg-Marquardt by variable projection.

`kernels/varpro.py` derives it and `kernels/_varpro.py` does it one spectrum at a time; names and
constants are theirs, and each spectrum takes the same steps here. One turn of the loop evaluates
the point that the turn before chose, keeps or rejects it, and chooses the next: so there is one
copy of the model in the graph, the first turn evaluates the start, and `chi2` begins at infinity.
A spectrum that is done writes its record and leaves: the next turn is smaller, and the loop ends
with the last of them.
"""

from dataclasses import replace

from ..kernels._step import FLAT, FLATTEST, STEP
from ..kernels._varpro import COVERED, TOLERANCE
from ..kernels.axis import GAUSSIAN_FWHM
from .graph_array import (
    Array,
    absolute,
    concat,
    full,
    identity,
    loop,
    maximum,
    minimum,
    places,
    put,
    split,
    sqrt,
    where,
)
from .graph_linear import inverse
from .graph_lines import Model, Shape, derivatives, place
from .graph_state import Point, Spectra, State

_DAMPING = 1e-3  # at the start
_RELAXED = 0.1  # factor on the damping after a good step
_STIFFEST = 1e8  # damping at which a search is given up
_ROUNDING = 1e-9  # in chi2
_INFINITE, _NAN = float("inf"), float("nan")


class Search:
    """Draws the search for one line shape."""

    def __init__(self, model: Model, shape: Shape, spectra: Spectra) -> None:
        self.model, self.shape, self.spectra = model, shape, spectra
        self.parameters, self.linear = spectra.low.size(0), model.share.size(0)
        self.unit, self.linear_unit = identity(self.parameters), identity(self.linear)
        self.row_unit = identity(model.share.size(1))
        self.yy = (spectra.y * spectra.y).sum(1)

    def run(self) -> dict[str, Array]:
        """Search every spectrum; outputs by name."""
        n, m = self.parameters, self.linear
        width = n * n + m * m + m * n + n + n + m + m + 5
        record = full(0.0, self.spectra.y.size(0), width)

        def turn(_: Array, carried: list[Array]) -> tuple[Array, list[Array]]:
            after, record, active = self._turn(State(*carried[:-1]), carried[-1])
            going = active.number.max(0).shaped(1) > 0.5
            return going, [*after.taken(places(active.shaped(-1))).values, record]

        carried = loop(self.spectra.iterations, [*self._begin().values, record], turn)
        return self._finish(carried[-1])

    def _begin(self) -> State:
        """Stand before the start, which counts as a step that is accepted."""
        spaxels, n, m = self.spectra.y.size(0), self.parameters, self.linear
        zero, still = full(0.0, spaxels, 1), full(0.0, spaxels, n)
        return State(
            rows=places(self.yy.shaped(-1) >= 0.0),
            trial=self.spectra.start,
            step=still,
            gain=zero + _INFINITE,
            whole=zero > 0.0,
            before=zero + _INFINITE,
            flat=zero + 1.0,
            stretch=zero + 1.0,
            damping=zero + _DAMPING / _RELAXED,
            theta=self.spectra.start,
            chi2=zero + _INFINITE,
            amplitude=full(0.0, spaxels, m),
            covariance=full(0.0, spaxels, m, m),
            S=full(0.0, spaxels, m, n),
            H=full(0.0, spaxels, n, n),
            g=still,
            kept=full(0.0, spaxels, m),
            count=zero,
        )

    def _evaluate(self, state: State) -> Point:
        """Solve the linear problem at the trial point; gradient and Schur complement there."""
        spectra, model, rows = self.spectra, self.model, state.rows
        weight, y = spectra.weight.take(rows).along(1), spectra.y.take(rows).along(1)
        stand = place(model, state.trial, spectra.scale.take(rows), spectra.width.take(rows))
        lines = self.shape.lines(model, stand, rows)
        F = concat([lines.rows * weight, model.basis * weight], axis=1)
        size = F.size(1)
        products = concat([F, y], axis=1) @ F.transposed
        gram, right = products.cut(1, 0, size), products.cut(1, size, None).transposed
        kept = where(state.count > 0.5, state.kept, self._covered(gram, weight))
        continuum = full(1.0, rows.size(0), model.basis.size(0))
        ties = model.share * concat([lines.shares, continuum], axis=1).along(1) * kept.along(2)
        gram = ties @ gram @ ties.transposed + self.linear_unit * (1.0 - kept).along(2)
        covariance, solved = inverse(gram, self.linear_unit)
        right = ties @ right
        amplitude = covariance @ right
        chi2 = self.yy.take(rows) - (amplitude * right).sum(1).shaped(0, 1)
        peak = (ties.transposed @ amplitude).shaped(0, -1).cut(1, 0, lines.shares.size(1))
        M = derivatives(lines, *self.shape.slopes(model, lines, peak)) * weight
        products = concat([F, y, M], axis=1) @ M.transposed
        S = ties @ products.cut(1, 0, size)
        g = products.cut(1, size, size + 1).transposed - S.transposed @ amplitude
        H = products.cut(1, size + 1, None) - S.transposed @ covariance @ S
        solved = solved & (chi2 >= 0.0)
        return Point(chi2, solved, amplitude.shaped(0, -1), covariance, S, H, g.shaped(0, -1), kept)

    def _covered(self, gram: Array, weight: Array) -> Array:
        """Tell which linear parameters the masks leave with data."""
        heaviest = weight.max(2)
        covered = (gram * self.row_unit).sum(2) > COVERED * heaviest * heaviest
        return ((self.model.share @ covered.number) > 0.5).number.shaped(0, -1)

    def _turn(self, state: State, record: Array) -> tuple[State, Array, Array]:
        """Evaluate, keep or reject, choose the next point; which spectra go on."""
        point = self._evaluate(state)
        accepted = (state.gain >= 0.0) & point.solved & (point.chi2 <= state.chi2 + _ROUNDING)
        fitted = (point.kept * self.model.is_line).max(1) > 0.5
        broken = (state.count < 0.5) & ~(accepted & fitted)
        state = self._paced(state, point.chi2, accepted).moved(point, accepted)
        frozen, held = self._frozen(state)
        step, gain = self._direction(state, frozen)
        rate = minimum(gain / state.before, 0.9)  # what is left converges as a geometric series
        small = (gain * state.flat < TOLERANCE * (1.0 - rate)) & (state.damping <= 1.0)
        step = where(small, step, step * state.stretch)
        trial, whole = self._limited(state, step)
        stop = broken | (~accepted & (state.damping > _STIFFEST))
        stop = stop | (state.count >= self.spectra.iterations.number)
        last = ~stop & small & whole & (gain >= 0.0)
        shift = (state.covariance @ state.S @ step.along(2)).shaped(0, -1)
        values = [
            where(last, trial, state.theta),
            where(last, state.amplitude - shift, state.amplitude),
            where(last, state.chi2 - gain, state.chi2),
            *(state.count, last.number, held, broken.number, frozen, state.kept),
            *(matrix.shaped(0, -1) for matrix in (state.H, state.covariance, state.S)),
        ]
        record = put(record, state.rows, concat(values, axis=1))
        trial = where(gain >= 0.0, trial, state.theta)
        state = replace(state, trial=trial, step=step, gain=gain, whole=whole)
        return state, record, ~(stop | last)

    def _paced(self, state: State, chi2: Array, accepted: Array) -> State:
        """Choose damping and stretch after a step that was kept or rejected.

        More damping where a step gained less than half of its promise; a longer step where it
        gained so much more that the valley must be flatter than H says.
        """
        gained = where(state.whole, state.chi2 - chi2, _INFINITE)
        curvature = (self._diagonal(state.H) * state.step * state.step).sum(1)
        share = gained / (state.gain + state.damping * curvature)
        relaxed = maximum(state.damping * _RELAXED, 1e-9)
        relaxed = where(share < 0.5, maximum(state.damping, 1.0 - share), relaxed)
        stiffened = maximum(state.damping * 10.0, 1e-2)
        curvature = 2.0 - gained / state.gain
        flat = where(curvature > FLAT, 1.0, 1.0 / maximum(curvature, FLATTEST))
        plain = accepted & state.whole & (state.stretch <= 1.0) & (state.damping < _DAMPING)
        return replace(
            state,
            flat=where(plain, flat, state.flat),
            stretch=where(plain, flat, 1.0),
            damping=where(accepted, relaxed, stiffened),
        )

    def _diagonal(self, H: Array) -> Array:
        return (H * self.unit).sum(2).shaped(0, -1)

    def _frozen(self, state: State) -> tuple[Array, Array]:
        """Hold the parameters that stand at a bound and would leave; whether there is any."""
        spectra, theta, g = self.spectra, state.theta, state.g
        below = (theta <= spectra.low) & (g < 0.0)
        above = (theta >= spectra.high) & (g > 0.0)
        out = (below | above).number
        frozen = maximum(out, 1.0 - spectra.movable)
        return maximum(frozen, self._flat(state.H)), (out * spectra.movable).max(1)

    def _flat(self, H: Array) -> Array:
        """Mark the parameters that chi2 does not depend on: those of a group that is masked."""
        return (absolute(self._diagonal(H)) <= 0.0).number

    def _direction(self, state: State, frozen: Array) -> tuple[Array, Array]:
        """Damped step and what it promises to gain in chi2, or -1 where there is none."""
        free = 1.0 - frozen
        diagonal = self._diagonal(state.H) * free * state.damping + frozen
        matrix = state.H * free.along(2) * free.along(1) + self.unit * diagonal.along(2)
        solver, positive = inverse(matrix, self.unit)
        step = (solver @ (state.g * free).along(2)).shaped(0, -1) * free
        gain = (step * state.g).sum(1)
        return step, where(positive, gain, -1.0)

    def _limited(self, state: State, step: Array) -> tuple[Array, Array]:
        """Point after a step no longer than allowed and inside the box; whether it is all of it."""
        spectra, theta = self.spectra, state.theta
        broad = theta.take(spectra.own, axis=1) * self.model.widths * GAUSSIAN_FWHM
        element = spectra.element.take(state.rows)
        longest = STEP * sqrt(element * element + broad * broad)
        trial = theta + maximum(minimum(step, longest), 0.0 - longest)
        trial = minimum(maximum(trial, spectra.low), spectra.high)
        return trial, absolute(trial - (theta + step)).max(1) <= 0.0

    def _finish(self, record: Array) -> dict[str, Array]:
        """Give the fit of every spectrum; NaN where there is none."""
        n, m = self.parameters, self.linear
        lengths = [n, m, 1, 1, 1, 1, 1, n, m, n * n, m * m, m * n]
        theta, amplitude, chi2, count, done, held, broken, frozen, kept, *blocks = split(
            record, lengths
        )
        sizes = (n, n), (m, m), (m, n)
        H, inner, S = (b.shaped(-1, *s) for b, s in zip(blocks, sizes, strict=True))
        fixed = frozen * self._flat(H)  # a parameter at its bound still has a curvature
        covariance, positive = self._covariance(H, inner, S, fixed)
        lost = concat([fixed, 1.0 - kept], axis=1) > 0.5
        covariance = where(lost.along(2) | lost.along(1), _NAN, covariance)
        broken = broken > 0.5
        singular = broken | ~positive
        ended = 2.0 * held + (1.0 - done) + 4.0 * (~positive).number
        unknown = singular | (fixed * self.spectra.movable > 0.5)
        return {
            "theta": where(unknown, _NAN, theta).shaped(0, -1),
            "linear": where(broken | (kept < 0.5), _NAN, amplitude).shaped(0, -1),
            "covariance": where(singular.along(2), _NAN, covariance).shaped(0, 0, -1),
            "chi2": where(broken, _NAN, chi2).shaped(-1),
            "evaluations": count.shaped(-1),
            "outcome": where(broken, 4.0, ended).shaped(-1),
            "flat_chi2": self._flat_chi2().shaped(-1),
        }

    def _covariance(self, H: Array, inner: Array, S: Array, fixed: Array) -> tuple[Array, Array]:
        """Covariance of all parameters; whether it is positive."""
        free = 1.0 - fixed
        pairs = free.along(2) * free.along(1)
        outer, positive = inverse(H * pairs + self.unit * fixed.along(2), self.unit)
        outer = outer * pairs
        slope = inner @ S
        cross = slope @ outer
        upper = concat([outer, 0.0 - cross.transposed], axis=2)
        lower = concat([0.0 - cross, inner + cross @ slope.transposed], axis=2)
        return concat([upper, lower], axis=1), positive

    def _flat_chi2(self) -> Array:
        """Chi2 of the continuum alone; terms without data are left out."""
        terms = self.model.basis * self.spectra.weight.along(1)
        unit = identity(self.model.basis.size(0))
        gram = terms @ terms.transposed
        empty = ((gram * unit).sum(2) <= 0.0).number
        solver, positive = inverse(gram + unit * empty, unit)
        right = terms @ self.spectra.y.along(2)
        return where(positive, self.yy - (right * (solver @ right)).sum(1).shaped(0, 1), _NAN)
