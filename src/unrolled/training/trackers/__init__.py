"""W&B, MLflow and Comet through Lightning's loggers: one file each, and what they share."""
