"""Names of the evaluation protocols. In all of them except `HONEST`, the test's labels leak."""

from typing import Literal

Protocol = Literal["honest", "reference_2019", "reference_2019_shuffled"]
HONEST: Protocol = "honest"
REFERENCE: Protocol = "reference_2019"
REFERENCE_SHUFFLED: Protocol = "reference_2019_shuffled"
