"""Where the runs of a sweep run: on this machine, on Ray, or on Slurm."""
