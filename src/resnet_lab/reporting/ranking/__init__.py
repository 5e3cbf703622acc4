"""The ranking of runs: which compare, in groups over seeds, from best to worst."""
