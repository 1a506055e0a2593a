"""Arrays in, arrays out: line shapes, seeds and batched fits; no files, threads or devices."""
