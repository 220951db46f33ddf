"""The names of the methods. All code of a method is in `pipeline/models/methods/<name>`.

This module imports no method, so that settings can be read without loading torch.
"""

from typing import Literal

MethodName = Literal["skip_ganomaly", "ganomaly", "egbad", "anogan"]
DEFAULT_METHOD: MethodName = "skip_ganomaly"
