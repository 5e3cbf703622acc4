"""Runs beside each other: what they were told, what they recorded, what they predict."""
