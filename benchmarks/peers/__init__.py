"""Unrolled against what people would use instead: the same training, as each of them does it."""
