"""A small stage that tests the engine alone, in the test's process or as a program of its own.

python toy_stage.py start|resume RUN [--spaxels N] [--delay S] [--fail START] ...
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from streamfit.io.errors import StreamFitError
from streamfit.io.records import Area, BatchKey
from streamfit.io.results import Column, arrow_schema
from streamfit.stream.budget import Cost
from streamfit.stream.commands import report
from streamfit.stream.config import EngineConfig, RunConfig
from streamfit.stream.job import Manners
from streamfit.stream.run import resume_run, start_run
from streamfit.stream.stage import Stage, row_nbytes

SCHEMA = arrow_schema(
    [
        Column("x", pa.int32(), "pixel", "column"),
        Column("y", pa.int32(), "pixel", "row"),
        Column("status", pa.int32(), "", "bits"),
        Column("velocity", pa.float64(), "km/s", "mean of the spectrum"),
        Column("Halpha_flux", pa.float64(), "erg/s/cm2", "sum of the spectrum"),
    ],
    {"lines": "Halpha"},
)
WIDTH = 32
"""Spaxels along x."""


class ToyBatch:
    def __init__(self, key, data):
        self.key, self.data, self.nbytes = key, data, data.nbytes

    def __len__(self):
        return len(self.key)


class ToySource:
    """Spectra that follow from their number alone."""

    name = "toy"

    def __init__(self, spaxels, batch, channels, identity, broken=()):
        self.spaxels, self.batch, self.channels = spaxels, batch, channels
        self.identity, self.broken = identity, broken
        self.spaxel_nbytes = 8 * channels

    def fingerprint(self):
        return dict(self.identity)

    def keys(self):
        starts = range(0, self.spaxels, self.batch)
        return [BatchKey("toy", at, min(at + self.batch, self.spaxels)) for at in starts]

    def read(self, key):
        if key.start in self.broken:
            raise OSError("bad sector")
        number = np.arange(key.start, key.stop)[:, None]
        return ToyBatch(key, np.sin(number * 0.1 + np.arange(self.channels) * 0.01))


class ToyRecipe:
    schema = SCHEMA
    spaxel_work_nbytes = 64

    def __init__(self, delay=0.0, failing=()):
        self.delay, self.failing = delay, failing

    def prepare(self):
        pass

    def fit(self, batch):
        time.sleep(self.delay)
        if batch.key.start in self.failing:
            raise RuntimeError("this batch cannot be fitted")
        number = np.arange(batch.key.start, batch.key.stop)
        columns = [
            (number // WIDTH).astype(np.int32),
            (number % WIDTH).astype(np.int32),
            np.where(number % 10 == 0, 4, np.where(number % 7 == 0, 32, 0)).astype(np.int32),
            batch.data.mean(axis=1),
            np.where(number % 13 == 0, np.nan, batch.data.sum(axis=1)),
        ]
        return pa.record_batch(columns, schema=SCHEMA)


def toy_opener(spaxels=1024, channels=32, delay=0.0, failing=(), broken=(), identity=None, work=64):
    """Give what opens the toy stage, as `open_stage` opens a cube."""
    known = identity or {"size": 123, "header": "a" * 64, "last_block": "b" * 64}

    def opener(config):
        return Stage(
            name="toy",
            recipe=ToyRecipe(delay, failing),
            cut=lambda batch: ToySource(spaxels, batch, channels, known, broken),
            cost=Cost(batch=8 * channels, work=work, row=row_nbytes(SCHEMA)),
            spaxels=spaxels,
            area=Area(0, max(1, -(-spaxels // WIDTH)), 0, WIDTH),
            header={"name": "toy", "shape": [spaxels // WIDTH, WIDTH]},
            notes=("a toy",),
        )

    return opener


def toy_config(**engine):
    return RunConfig("optical", "/toy", EngineConfig(**{"threads": 2, "batch": 32, **engine}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=("start", "resume"))
    parser.add_argument("run", type=Path)
    parser.add_argument("--spaxels", type=int, default=1024)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--memory", type=int, default=2 * 2**30)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--part", type=float, default=30.0)
    parser.add_argument("--file-limit", type=int, default=0)
    said = parser.parse_args()
    if said.file_limit:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (said.file_limit, said.file_limit))
    opener = toy_opener(said.spaxels, said.channels, said.delay)
    manners = Manners(opener=opener, seconds_per_part=said.part)
    try:
        if said.action == "start":
            config = toy_config(batch=said.batch, memory=said.memory)
            outcome = start_run(config, said.run, manners=manners)
        else:
            outcome = resume_run(said.run, manners=manners)
    except StreamFitError as error:
        print(error, file=sys.stderr)
        return 2
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    print(int(peak) * 1024)
    return report(outcome, said.run)


if __name__ == "__main__":
    sys.exit(main())
