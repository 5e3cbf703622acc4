"""Attack the template: kill its runs and sweeps, and type wrong command lines."""
