"""Whether an extension called ERR holds a standard deviation or a variance.

A pipeline's word is taken where it gives one. Where the name leaves it open, BUNIT decides: the
cube's own unit or its square. Where that is silent, so do the data: noise shows in the second
difference of neighbouring channels, d = (2 x_i - x_{i-1} - x_{i+1}) / sqrt(6), which a smooth
continuum leaves alone, and 1.4826 median |d| is its standard deviation. Whichever reading of the
extension lies nearer to it, on a logarithmic scale, is the right one. Resampled spectra scatter
less than they should, by a factor of a few; the two readings differ by far more.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .fits_cards import text
from .fits_layout import Layout, NoiseKind
from .fits_planes import Planes
from .fits_unit import parse_unit
from .records import Area

_MAD = 1.4826  # standard deviation of a normal distribution per median absolute deviation
_CLEAR = 0.5  # dex between the two readings that leaves no doubt
_ABSURD = 4.0  # dex from the scatter at which a BUNIT is not believed
_POWERS = {"sigma": 1.0, "variance": 0.5, "inverse variance": -0.5}  # of what is stored, to sigma
_ODD = 0.7  # dex between noise and scatter that is worth a note
_BLOCK = 16  # neighbouring channels of a sample,
_BLOCKS = 8  # as many times over the axis: lines fill less than half of them
_SPAXELS = 1 << 12  # of a sample, at most: whole rows in the middle of the cube


def settle_noise(layout: Layout) -> tuple[Layout, list[str]]:
    """Look at a few channels: the cube has data, and its noise is of one kind or not usable.

    Parameters
    ----------
    layout : Layout

    Returns
    -------
    layout : Layout
        With `noise_kind` known; without `noise` where none of it is usable.
    notes : list of str
        How it was decided, and what is odd about it.

    Raises
    ------
    InputError
        If no value of the cube is finite and unmasked.
    """
    planes = Planes(layout)
    channels, height, width = planes.shape
    rows = min(height, max(1, _SPAXELS // width))
    area = Area(0, width, (height - rows) // 2, (height - rows) // 2 + rows)
    block = min(_BLOCK, channels)
    firsts = np.unique(np.linspace(0, channels - block, _BLOCKS).astype(int)).tolist()
    data = np.concatenate([planes.data(first, first + block, area) for first in firsts])
    planes.release()
    if not np.isfinite(data).any() and not any(
        np.isfinite(data).any() for _, _, data, _ in Planes(_bare(layout)).blocks(planes.whole)
    ):
        mask = layout.mask
        cause = "NaN" if mask is None else f"NaN or flagged by {mask.name}"
        raise InputError(
            f"{layout.spectra}: all {channels * height * width} values are {cause}; "
            "give a cube with data, or mend its mask"
        )
    if layout.noise is None:
        return layout, []
    stored = np.concatenate([layout.noise.block(first, first + block, area) for first in firsts])
    planes.release()
    sample = NoiseSample(
        data=data.reshape(data.shape[0], -1),
        noise=np.where(np.isfinite(data), stored, np.nan).reshape(data.shape[0], -1),
        block=block,
    )
    kind, notes = decide(layout, sample)
    settled = dataclasses.replace(layout, noise_kind=kind)
    if not (sample.noise > 0).any() and not any(
        np.isfinite(variance).any()
        for _, _, _, variance in Planes(settled).blocks(planes.whole)
        if variance is not None
    ):
        note = f"{layout.noise.name} has no positive value where there are data: not used"
        return _bare(layout), [note]
    return settled, notes


def _bare(layout: Layout) -> Layout:
    """Give the layout without its noise."""
    return dataclasses.replace(layout, noise=None, noise_kind="variance")


@dataclass(frozen=True, slots=True)
class NoiseSample:
    """A few channels of all or many spaxels.

    Parameters
    ----------
    data, noise : ndarray, shape (channel, spaxel)
        Blocks of neighbouring channels, one after the other; bad values NaN, `noise` as stored.
    block : int
        Channels of a block.
    """

    data: NDArray[np.floating]
    noise: NDArray[np.floating]
    block: int

    def distance(self, kind: NoiseKind) -> float:
        """Give log10 of the scatter between channels over what `noise`, read as `kind`, says.

        The median over all channels and spaxels, NaN where nothing is known: lines and cosmic rays
        do not reach it.
        """
        found = []
        for first in range(0, self.data.shape[0] - self.block + 1, self.block):
            x = self.data[first : first + self.block].astype(np.float64)
            stored = self.noise[first + 1 : first + self.block - 1].astype(np.float64)
            with np.errstate(divide="ignore", invalid="ignore"):
                sigma = np.where(stored > 0, stored, np.nan) ** _POWERS[kind]
                found.append(np.abs(2 * x[1:-1] - x[:-2] - x[2:]) / math.sqrt(6.0) / sigma)
        ratios = np.concatenate(found)
        ratios = ratios[np.isfinite(ratios) & (ratios > 0)]
        return math.log10(_MAD * float(np.median(ratios))) if ratios.size else math.nan


def decide(layout: Layout, sample: NoiseSample) -> tuple[NoiseKind, list[str]]:
    """Tell what the noise extension holds.

    Parameters
    ----------
    layout : Layout
        With a noise extension.
    sample : NoiseSample

    Returns
    -------
    kind : str
        Never "unknown".
    notes : list of str
        How it was decided, and what is odd about it.
    """
    assert layout.noise is not None
    name = layout.noise.name
    if layout.noise_kind != "unknown":
        return layout.noise_kind, _oddity(name, sample.distance(layout.noise_kind))
    as_sigma, as_variance = sample.distance("sigma"), sample.distance("variance")
    said = _by_unit(layout)
    off_said = as_variance if said == "variance" else as_sigma
    if said != "unknown" and not abs(off_said) > _ABSURD:
        notes = [f"{name} is a {said}: its BUNIT is {text(layout.noise.cards, 'BUNIT')!r}"]
        return said, notes + _oddity(name, off_said)
    nearer: NoiseKind = "variance" if abs(as_variance) < abs(as_sigma) else "sigma"
    if not abs(abs(as_sigma) - abs(as_variance)) > _CLEAR:
        return "sigma", [
            f"{name} taken as standard deviation by its name: the scatter between channels "
            "does not tell it from a variance"
        ]
    off = as_variance if nearer == "variance" else as_sigma
    other = as_sigma if nearer == "variance" else as_variance
    notes = [
        f"{name} taken as {nearer}: the scatter between channels is {10**off:.2g} of what it then "
        f"says, {10**other:.2g} otherwise"
    ]
    return nearer, notes


def _by_unit(layout: Layout) -> NoiseKind:
    """Tell from BUNIT: the unit of the spectra, or its square."""
    assert layout.noise is not None
    theirs = parse_unit(text(layout.noise.cards, "BUNIT"))
    ours = parse_unit(text(layout.cards, "BUNIT"))
    if theirs is None or ours is None or not theirs.bases:
        return "unknown"
    if theirs.is_equivalent(ours):
        return "sigma"
    return "variance" if theirs.is_equivalent(ours**2) else "unknown"


def _oddity(name: str, off: float) -> list[str]:
    """Note a noise that the data do not bear out."""
    if not abs(off) > _ODD:
        return []
    return [f"the scatter between channels is {10**off:.2g} of what {name} says"]
