"""Weights from files: published ones, and those of checkpoints."""
