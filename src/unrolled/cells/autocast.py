"""What autocast does to products, for whoever computes them by a kernel of its own."""

import torch


def half_type(device: torch.device) -> torch.dtype | None:
    """What autocast rounds the factors of products to on a device; None where it is off."""
    on = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if on else None
