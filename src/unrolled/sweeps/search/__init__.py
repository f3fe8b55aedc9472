"""Searching a space of configurations: which trial next, on what the others gave."""
