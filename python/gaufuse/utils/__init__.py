"""Files, consoles, processes: what every room needs."""
