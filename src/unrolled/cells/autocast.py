"""What autocast does to products, for whoever computes them by a kernel of its own."""

import torch

# The types of half precision.
HALF = (torch.bfloat16, torch.float16)


def half_type(device: torch.device) -> torch.dtype | None:
    """What autocast rounds the factors of products to on a device; None where it is off."""
    on = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if on else None


def half_type_on_cpu(device: torch.device) -> torch.dtype | None:
    """As ``half_type`` on a CPU, None on every other device."""
    return half_type(device) if device.type == "cpu" else None
