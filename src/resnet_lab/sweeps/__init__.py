"""Many runs: jobs, their checks, launchers, search."""
