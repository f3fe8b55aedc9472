"""Synthetic tasks of memory: symbols are read, and answers that need earlier ones asked for."""
