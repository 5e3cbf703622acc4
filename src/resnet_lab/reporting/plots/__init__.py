"""Figures for reports and notebooks."""
