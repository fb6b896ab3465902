"""RSKP and what it is made of; checkpoints and weights."""
