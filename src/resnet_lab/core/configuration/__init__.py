"""The configuration: what a command line or a run directory says, and what is built from it."""
