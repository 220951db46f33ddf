"""Patches as tensors in tanh's range, and back."""

import torch
from torch import Tensor

from pipeline.common.names import Patches


def to_tensor(patches: Patches, device: torch.device) -> Tensor:
    """Convert uint8 (N, H, W, C), 0 to 255, to float32 (N, C, H, W) in [-1, 1], tanh's range."""
    pixels = torch.from_numpy(patches)
    if device.type == "cuda":
        pixels = pixels.pin_memory()  # so that the copy runs during the previous step
    # In memory, channels stay last: convolutions run fastest so.
    there = pixels.to(device, non_blocking=True).permute(0, 3, 1, 2)
    return there.float() / 127.5 - 1.0


def to_patches(x: Tensor) -> Patches:
    """Convert float32 (N, C, H, W) in [-1, 1] to the nearest uint8 (N, H, W, C)."""
    pixels = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()
