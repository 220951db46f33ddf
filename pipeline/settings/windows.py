"""The rule by which a scan is cut into windows."""

from dataclasses import dataclass
from typing import Literal

from pipeline.common.errors import require
from pipeline.settings.checks import StrictBlock

MAX_SIDE = 4096  # pixels: a network for larger windows fits into no memory


@dataclass(frozen=True)
class WindowRule(StrictBlock):
    """The rule by which a scan is cut into windows.

    Attributes:
        mode: ``windows`` slides a window; ``whole`` resizes the whole scan to one.
        size: side of a window in pixels.
        stride: pixels between the origins of neighbouring windows.
        min_foreground: windows with a smaller share of foreground, 0 to 1, are left out.
        min_window_share: a window is abnormal if a threat covers this share of it or more, 0 to 1,
        min_threat_share: or if this share of the threat or more, 0 to 1, lies in the window. A
            window that touches a threat with less of both is grazing.
    """

    mode: Literal["windows", "whole"] = "windows"
    size: int = 64
    stride: int = 32
    min_foreground: float = 0.1
    min_window_share: float = 0.1
    min_threat_share: float = 0.5

    def __post_init__(self) -> None:
        # The generator halves the side until 1 is left.
        right = 16 <= self.size <= MAX_SIDE and self.size & (self.size - 1) == 0
        require(right, "size", self.size, f"a power of 2, 16 to {MAX_SIDE}")
        require(self.stride >= 1, "stride", self.stride, "1 or more")
        for name in ("min_foreground", "min_window_share", "min_threat_share"):
            value = getattr(self, name)
            require(0 <= value <= 1, name, value, "a share from 0 to 1")
