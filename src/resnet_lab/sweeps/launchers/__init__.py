"""Where the jobs of a sweep run: a pool, a Ray cluster, SLURM."""
