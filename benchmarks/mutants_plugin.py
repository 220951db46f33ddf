"""A plugin of pytest for mutmut's runs of the tests (`benchmarks.mutants`)."""

from collections import defaultdict
from collections.abc import Generator

import hypothesis
import pytest
from mutmut.state import state

_called_by_fixture: dict[str, set[str]] = defaultdict(set)


@pytest.hookimpl(trylast=True)
def pytest_collectstart(collector: pytest.Collector) -> None:
    """Let property tests try fewer examples, and stop at the first that fails.

    After `tests/conftest.py` has loaded its profile, which is right before a module is imported.
    """
    if isinstance(collector, pytest.Module):
        usual = hypothesis.settings.get_profile("skipscan")
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile(
            "mutants", usual, phases=phases, database=None, max_examples=30
        )
        hypothesis.settings.load_profile("mutants")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the fastest tests of a file first."""
    files = list(dict.fromkeys(item.path for item in items))
    took = state().duration_by_test
    items.sort(key=lambda item: (files.index(item.path), took.get(item.nodeid, 0)))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: "pytest.FixtureDef[object]",
) -> Generator[None, object, object]:
    """Note what a fixture's setup calls.

    A fixture of a session or module is set up once. Where mutmut notes which test calls which
    function, the fixture's calls would count for the first of its tests alone.
    """
    before = set(state()._stats)
    state()._stats.clear()
    result = yield
    _called_by_fixture[fixturedef.argname] |= state()._stats
    state()._stats.update(before)
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Count the calls of a test's fixtures as its own."""
    for name in getattr(item, "fixturenames", ()):
        state()._stats.update(_called_by_fixture[name])
