"""The report of a sweep: its jobs, their statistics, the leaderboard, plots and pages."""
