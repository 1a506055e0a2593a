"""Programs for the people who work on stream-fit: simulators, comparisons, benchmarks."""
