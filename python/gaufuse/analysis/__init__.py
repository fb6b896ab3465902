"""What a model gets wrong: error types, what each costs, which instances it misses, calibration."""
