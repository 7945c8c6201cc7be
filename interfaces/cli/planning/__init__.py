"""What a command line means: which flows, in which order, with which variables."""
