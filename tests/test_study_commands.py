"""How the command of a study ends."""

import pytest

from experiments.run import run_main
from pipeline.common.errors import InputError


def test_the_status_is_what_main_returns() -> None:
    for returned, status in ((None, None), (0, 0), (1, 1)):
        with pytest.raises(SystemExit) as ended:
            run_main(lambda returned=returned: returned)  # type: ignore[misc]
        assert ended.value.code == status


def test_an_input_error_is_one_line() -> None:
    def refuse() -> None:
        raise InputError("data/patches: no such folder: run the stage extract")

    with pytest.raises(SystemExit, match=r"^error: data/patches: no such folder: run the stage"):
        run_main(refuse)
