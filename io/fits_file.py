"""A FITS file as a list of images that lie in one memory map.

Headers are read with astropy, pixels by `fits_image`. A gzipped file is unpacked once into a
nameless temporary file (in $TMPDIR, or /var/tmp, which is rarely kept in memory) that vanishes with
the process. What the images mean is left to `fits_layout`.
"""

import contextlib
import errno
import gzip
import math
import mmap
import os
import shutil
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import IO

from astropy.io import fits

from .errors import InputError, StorageError
from .fits_cards import Cards
from .fits_image import DTYPES, FitsImage

RECORD = 2880  # bytes, FITS standard 4.0, section 3.1
_GZIP = b"\x1f\x8b"
_MAGIC = b"SIMPLE  ="


class FitsFile:
    """An open FITS file.

    Parameters
    ----------
    path : Path
        Plain or gzipped.

    Raises
    ------
    InputError
        If it is not FITS, is cut short, or holds a header that cannot be read.
    StorageError
        If a gzipped file does not fit where it is unpacked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.gzipped = _starts(path, _GZIP)
        with _plain(path) if self.gzipped else path.open("rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            headers = _headers(handle, size, self.name)
            self._map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        self.primary = headers[0][0]
        self.headers = tuple(cards for cards, _ in headers)
        self.images = tuple(
            image
            for index, (cards, offset) in enumerate(headers)
            if (image := self._image(index, cards, offset)) is not None
        )

    def _image(self, index: int, cards: Cards, offset: int) -> FitsImage | None:
        """Describe an HDU, or give None where it holds no image."""
        kind = str(cards.get("XTENSION", "IMAGE")).strip()
        shape = _shape(cards)
        if kind != "IMAGE" or not shape or math.prod(shape) == 0:
            return None
        default = "PRIMARY" if index == 0 else ""
        name = str(cards.get("EXTNAME") or default).strip().upper()
        while len(shape) > 3 and shape[0] == 1:
            shape = shape[1:]
        return FitsImage(self.name, index, name, cards, shape, offset, self._map)

    def find(self, *names: str, ndim: int | None = None) -> FitsImage | None:
        """Give the first image that carries one of `names`, in the order of the names."""
        for name in names:
            for image in self.images:
                if image.name == name and ndim in (None, len(image.shape)):
                    return image
        return None

    def close(self) -> None:
        """Close the map; a temporary copy vanishes with it."""
        with contextlib.suppress(BufferError):  # an array of ours is still held somewhere
            self._map.close()


def is_fits(path: Path) -> bool:
    """Whether a file begins as FITS does, itself or once unpacked."""
    if _starts(path, _MAGIC):
        return True
    if not _starts(path, _GZIP):
        return False
    try:
        with gzip.open(path, "rb") as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except (OSError, EOFError, zlib.error):
        return False


def _starts(path: Path, magic: bytes) -> bool:
    """Whether a file begins with these bytes."""
    with path.open("rb") as handle:
        return handle.read(len(magic)) == magic


def _plain(path: Path) -> IO[bytes]:
    """Unpack a gzipped file into a nameless temporary one."""
    roomy = "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK)
    folder = "/var/tmp" if roomy else tempfile.gettempdir()
    copy = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (the caller closes it)
    try:
        with gzip.open(path, "rb") as stream:
            shutil.copyfileobj(stream, copy, 1 << 20)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        copy.close()
        raise InputError(
            f"{path.name}: the gzip stream ends or breaks after {path.stat().st_size} bytes "
            f"({error}); copy or download the file again"
        ) from error
    except OSError as error:
        copy.close()
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise StorageError(
            f"{path.name}: no room to unpack it in {folder}; "
            "set TMPDIR to a folder with more room, or gunzip the file"
        ) from error
    return copy


def _headers(handle: IO[bytes], size: int, name: str) -> list[tuple[Cards, int]]:
    """Read every header and where its data begin, checking that the data are all there."""
    handle.seek(0)
    start = handle.read(len(_MAGIC))
    if start != _MAGIC:
        raise InputError(
            f"{name}: not FITS, it begins with {start!r}, not {_MAGIC!r}; give a FITS or HDF5 cube"
        )
    found: list[tuple[Cards, int]] = []
    position = 0
    while position < size:
        handle.seek(position)
        cards = _header(handle, name, len(found))
        if cards is None:
            break
        offset = handle.tell()
        length = _length(cards, f"{name}: HDU {len(found)}")
        if offset + length > size:
            label = str(cards.get("EXTNAME") or "no name").strip()
            raise InputError(
                f"{name}: HDU {len(found)} ({label}) needs {offset + length} bytes but the file "
                f"has {size}; it is cut short, copy or download it again"
            )
        found.append((cards, offset))
        position = offset + -(-length // RECORD) * RECORD
    return found


def _header(handle: IO[bytes], name: str, index: int) -> Cards | None:
    """Read one header; None where the file goes on with something that is no extension."""
    first = handle.read(9)
    handle.seek(-len(first), os.SEEK_CUR)
    if index > 0 and first[:8] != b"XTENSION":
        return None  # special records after the last HDU (FITS standard 4.0, section 3.5)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _cards(fits.Header.fromfile(handle))
    except (OSError, EOFError, ValueError, fits.VerifyError) as error:
        if not handle.read(1):
            raise InputError(
                f"{name}: the file ends inside header {index} after {handle.tell()} bytes; "
                "it is cut short, copy or download it again"
            ) from error
        raise InputError(
            f"{name}: header {index} cannot be read ({error}); copy or download it again"
        ) from error


def _cards(header: fits.Header) -> Cards:
    """Take the values out of a header, leaving out the cards that cannot be read."""
    cards: Cards = {}
    for card in header.cards:
        with contextlib.suppress(fits.VerifyError, ValueError):
            if card.keyword not in ("", "COMMENT", "HISTORY"):
                value = None if isinstance(card.value, fits.card.Undefined) else card.value
                cards.setdefault(card.keyword, value)
    return cards


def _shape(cards: Cards) -> tuple[int, ...]:
    """Shape of the pixels, slowest axis first."""
    return tuple(int(cards[f"NAXIS{axis}"]) for axis in range(int(cards["NAXIS"]), 0, -1))


def _length(cards: Cards, where: str) -> int:
    """Bytes of data behind a header (FITS standard 4.0, equation 2)."""
    try:
        shape, bits = _shape(cards), int(cards["BITPIX"])
        extra, groups = int(cards.get("PCOUNT", 0)), int(cards.get("GCOUNT", 1))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: the header gives no size of its data ({error}); write the file again"
        ) from error
    if bits not in DTYPES:
        raise InputError(
            f"{where}: BITPIX is {bits}, not one of {sorted(DTYPES)}; write the file again"
        )
    return abs(bits) // 8 * groups * (extra + math.prod(shape)) if shape else 0
