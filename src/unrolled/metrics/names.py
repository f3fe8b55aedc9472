"""What a metric's name says: ``<split>/<metric>``, and which way is better. Imports nothing."""

LOWER = {"loss", "perplexity", "bits", "error", "mse", "mae", "rmse", "nll"}


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric, such as ``validation/perplexity`` or ``mse``, is better."""
    return bool(LOWER & set(metric.rpartition("/")[2].split("_")))
