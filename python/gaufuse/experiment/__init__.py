"""`gaufuse experiment`: a grid of arms x data sets x seeds, its records, and what they say."""
