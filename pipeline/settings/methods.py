"""The methods by name. The folder `pipeline/models/methods/<name>` is all that there is of one.

Imports none of them, so that settings are read without loading torch.
"""

from typing import Literal

MethodName = Literal["skip_ganomaly", "ganomaly", "egbad", "anogan"]
DEFAULT_METHOD: MethodName = "skip_ganomaly"
