"""What a metric's name says: ``<split>/<metric>``, and which way is better. Imports nothing."""

LOWER = ("loss", "perplexity", "bits", "error", "mse", "mae")


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of, say, ``validation/perplexity`` is the better one."""
    name = metric.rpartition("/")[2]
    return any(part in name for part in LOWER)
