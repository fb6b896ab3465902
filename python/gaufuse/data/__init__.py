"""Data sets: on disk, as batches, checked, converted, simulated."""
