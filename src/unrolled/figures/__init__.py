"""How figures look and how a run's own are drawn, in TensorBoard and in comparisons alike."""
