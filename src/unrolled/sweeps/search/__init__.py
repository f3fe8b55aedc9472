"""Searching a space of configurations: each trial is chosen by the results of the others."""
