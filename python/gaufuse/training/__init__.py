"""The training loop: steps, schedule, second round, what a run leaves behind."""
