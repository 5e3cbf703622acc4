"""Reports of sweeps and comparisons of runs: statistics, tables, plots and pages."""
