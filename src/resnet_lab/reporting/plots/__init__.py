"""The figures of reports, and of notebooks."""
