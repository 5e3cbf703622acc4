"""Shared by all: configuration, building, errors, console, device, processes, files, overhead."""
