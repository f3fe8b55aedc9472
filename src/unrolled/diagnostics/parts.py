"""What can be asked of a run, by name; named here so that a command knows it before torch."""

PARTS = ("gradients", "gates", "memory", "dynamics")
