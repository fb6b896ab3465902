"""The command line. Importing it comes before torch is imported, which matters here."""

import os

# OpenMP threads that spin while they wait make each other wait where a core is busy otherwise: a
# run of 7 s took 89 s beside one other process on two cores. Waiting asleep costs next to nothing.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
