"""What a metric's name says: ``<split>/<metric>``, and which way is better. Imports nothing."""

LOWER = {"loss", "perplexity", "bits", "error", "mse", "mae", "rmse", "nll"}

# What a language model is measured by; each is named ``<split>/<metric>`` in records and curves.
LANGUAGE_MODELING = (
    "loss",
    "perplexity",
    "bits_per_character",
    "accuracy",
    "accuracy_top5",
    *(
        f"{name}_{average}"
        for name in ("precision", "recall", "f1")
        for average in ("macro", "micro")
    ),
)


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric, such as ``validation/perplexity`` or ``mse``, is better."""
    return bool(LOWER & set(metric.rpartition("/")[2].split("_")))
