"""One run: its directory, its records and checkpoints, fit and test, loggers."""
