"""What makes the simulated data sets: timelines drawn as in real annotations, and features on them.

small       the first data set, whose videos are drawn uniformly: quick, for tests
tables      what is known of real annotations: quantiles and correlations, in TOML
timelines   videos drawn from a table: when which action happens, in seconds
measure     the table of annotations, real or simulated
appearance  the features of a timeline
realistic   the settings of all that
"""
