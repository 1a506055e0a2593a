"""The X-ray recipe of the stage `deconvolve`: fold, deconvolve, refold, columns, for one batch.

An observation that cannot be read, or that no photon of the working energies reaches, keeps its
row: NaN, with the reason in words. What comes out of the others is folded again and compared with
the counts, never with one per bin but with the statistic's own mean and scatter at that spectrum,
less what a fit with so much freedom follows of the noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..io.observations import Observation, ObservationBatch, RefusedObservation, Response
from ..io.records import BatchKey
from ..io.results import FitStatus
from ..io.xray_columns import deconvolve_schema
from ..kernels.refold import Refold
from ..kernels.response import DETECTOR_EDGES, ENERGY_EDGES
from .validate_ogip import overlap_note
from .xray_methods import Estimate, Method
from .xray_problem import WorkingObservation

Array = NDArray[np.float64]

# Standard deviations; a true spectrum is so far above in one of 740, if the statistic is normal.
REJECTED = 3.0
NOTES_APART = " | "
"""Between the notes of a row."""

_BAND = f"{DETECTOR_EDGES[0]:g} to {DETECTOR_EDGES[-1]:.1f} keV"


@dataclass(frozen=True, slots=True)
class Deconvolution:
    """One observation, deconvolved and folded again."""

    working: WorkingObservation
    estimate: Estimate
    refold: Refold

    @property
    def reason(self) -> str:
        """Why there is no spectrum; "" where there is."""
        if self.estimate.known:
            return ""
        name, counts = self.working.observation.name, self.working.counts
        return f"{name}: {counts:.0f} counts in {_BAND}: nothing to deconvolve"

    @property
    def status(self) -> FitStatus:
        """What is to be said of it."""
        bits = (
            (FitStatus.NO_DATA, not self.estimate.known),
            (FitStatus.NONFINITE, not self.working.complete),
            (FitStatus.NO_SIGNAL, not self.working.has_signal()),
            (FitStatus.MDN_OUT_OF_RANGE, not self.estimate.in_range),
            (FitStatus.MAX_ITERATIONS, not self.estimate.converged),
            (FitStatus.REFOLD_REJECTED, self.refold.z > REJECTED),
        )
        return FitStatus(sum(bit for bit, holds in bits if holds))


class XrayRecipe:
    """Deconvolves every observation.

    Parameters
    ----------
    method : Method
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.schema = deconvolve_schema(
            ENERGY_EDGES,
            {
                "method": method.name,
                "about": method.about,
                "band": _BAND,
                **({"weights": method.weights} if method.weights else {}),
            },
        )

    @property
    def spaxel_work_nbytes(self) -> int:
        """Memory one observation takes beside its batch: its matrix, in three precisions."""
        return 20 * (DETECTOR_EDGES.size - 1) * (ENERGY_EDGES.size - 1)

    def prepare(self) -> None:
        """Load the method and try it on one made-up observation."""
        self.fit(ObservationBatch(BatchKey("warm-up", 0, 1), (_made_up(),)))

    def fit(self, batch: ObservationBatch) -> pa.RecordBatch:
        """Give one row for every observation of a batch, in its order."""
        found = [_working(one) for one in batch.observations]
        done = iter(self.deconvolve([one for one in found if isinstance(one, WorkingObservation)]))
        rows = [
            _row(next(done)) if isinstance(one, WorkingObservation) else _refused_row(one)
            for one in found
        ]
        columns = [_array([row[field.name] for row in rows], field) for field in self.schema]
        return pa.record_batch(columns, schema=self.schema)

    def deconvolve(self, working: Sequence[WorkingObservation]) -> list[Deconvolution]:
        """Deconvolve observations and fold them again."""
        counted = [one.problem for one in working if one.counts > 0]
        found = iter(self.method.estimates(counted))
        return [
            _deconvolution(
                one, next(found) if one.counts > 0 else Estimate.nothing(ENERGY_EDGES.size - 1)
            )
            for one in working
        ]


def _deconvolution(working: WorkingObservation, estimate: Estimate) -> Deconvolution:
    """Fold an estimate again."""
    if estimate.known:
        return Deconvolution(working, estimate, working.refold(estimate.flux, estimate.freedom))
    return Deconvolution(working, estimate, Refold("cash", np.nan, np.nan, np.nan, 0, np.nan))


def _working(
    found: Observation | RefusedObservation,
) -> WorkingObservation | RefusedObservation:
    """Bring an observation onto the working grid, or say why that cannot be."""
    if isinstance(found, RefusedObservation):
        return found
    working = WorkingObservation.of(found)
    if working.seen:
        return working
    response = found.response
    return RefusedObservation(
        found.name,
        found.path,
        f"{found.name}: no good channel of {_BAND} is reached by photons of "
        f"{ENERGY_EDGES[0]:g} to {ENERGY_EDGES[-1]:g} keV, {response.name} covers "
        f"{response.channel_low.min():g} to {response.channel_high.max():g} keV; give a spectrum "
        "with channels there",
    )


def _row(found: Deconvolution) -> dict[str, object]:
    """Give the columns of an observation."""
    observation, refold = found.working.observation, found.refold
    return {
        "obs": observation.name,
        "file": observation.path,
        "observation": observation.observation,
        "target": observation.target,
        "instrument": observation.instrument,
        "status": int(found.status),
        "reason": found.reason,
        "notes": NOTES_APART.join(filter(None, (*observation.notes, overlap_note(observation)))),
        "exposure": observation.exposure,
        "counts": found.working.counts,
        "background_counts": found.working.background,
        "log_photon_flux": found.estimate.log_flux,
        "log_photon_flux_sigma": found.estimate.sigma,
        "refold_statistic": refold.statistic,
        "refold_bins": refold.bins,
        "refold_cstat": refold.value,
        "refold_expected": refold.expected,
        "refold_freedom": refold.freedom,
        "refold_z": refold.z,
    }


def _refused_row(found: RefusedObservation) -> dict[str, object]:
    """Give the columns of an observation there is no spectrum of."""
    empty = np.full(ENERGY_EDGES.size - 1, np.nan)
    words = ("observation", "target", "instrument", "notes", "refold_statistic")
    numbers = ("exposure", "counts", "background_counts")
    refold = ("refold_cstat", "refold_expected", "refold_freedom", "refold_z")
    return {
        "obs": found.name,
        "file": found.path,
        "status": int(FitStatus.NO_DATA),
        "reason": found.reason,
        "refold_bins": 0,
        "log_photon_flux": empty,
        "log_photon_flux_sigma": empty,
        **dict.fromkeys(words, ""),
        **dict.fromkeys((*numbers, *refold), np.nan),
    }


def _array(values: list, field: pa.Field) -> pa.Array:
    """Put the values of a column into Arrow."""
    if not pa.types.is_fixed_size_list(field.type):
        return pa.array(values, type=field.type)
    flat = pa.array(np.concatenate(values))
    return pa.FixedSizeListArray.from_arrays(flat, type=field.type)


def _made_up() -> Observation:
    """Give a flat spectrum of a detector that answers each energy in one channel."""
    channels = DETECTOR_EDGES.size - 1
    low, high = DETECTOR_EDGES[:-1], DETECTOR_EDGES[1:]
    response = Response(
        name="diagonal",
        energy_low=low,
        energy_high=high,
        area=np.full(channels, 100.0),
        matrix=csr_array(np.eye(channels, dtype=np.float32)),
        channel_low=low,
        channel_high=high,
        first_channel=1,
    )
    return Observation(
        name="warm-up",
        path="",
        counts=np.full(channels, 10.0),
        good=np.ones(channels, dtype=bool),
        exposure=1000.0,
        area_scale=np.ones(channels),
        response=response,
    )
