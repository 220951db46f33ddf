"""Limits on the nesting of foreign JSON and YAML, and on what YAML's aliases repeat."""

import re
from typing import Any

from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    NodeEvent,
    ScalarEvent,
)
from ruamel.yaml.parser import Parser

from pipeline.common.errors import InputError

MAX_DEPTH = 32  # levels; COCO has 6
MAX_NODES = 2**16  # of YAML with its aliases written out
NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))


def is_deep_json(content: bytes) -> bool:
    """Return whether valid JSON is nested deeper than `MAX_DEPTH`.

    Python may parse a deeper value, but exceeds its recursion limit when it prints or writes it.
    """
    content = content.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, NO_BRACKETS)
    brackets = re.sub(rb'"[^"]*"', b"", content)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")  # the innermost level
    return bool(brackets)


class LimitedParser(Parser):
    """A parser of YAML that refuses deep nesting, and aliases that repeat too much.

    It checks both before it builds a value. The errors are InputErrors without the file's name.
    """

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        self._nodes = 0  # so far, with the aliases written out
        self._open: list[tuple[str | None, int]] = []  # collections: anchor, and nodes before it
        self._sizes: dict[str, int] = {}  # nodes below each anchor

    def get_event(self) -> Event:
        """Return the next event of the file, and count its nodes."""
        event: Event = super().get_event()
        if isinstance(event, AliasEvent):
            self._nodes += self._sizes.get(event.anchor, 0)
        elif isinstance(event, CollectionEndEvent):
            anchor, before = self._open.pop()
            if anchor is not None:
                self._sizes[anchor] = self._nodes - before
        elif isinstance(event, NodeEvent):
            self._add_node(event)
        if len(self._open) > MAX_DEPTH:
            raise InputError(f"nested deeper than {MAX_DEPTH} levels: flatten it")
        if self._nodes > MAX_NODES:
            raise InputError("aliases that repeat too much, or themselves: write it out")
        return event

    def _add_node(self, event: NodeEvent) -> None:
        if event.anchor in self._sizes:
            raise InputError(f"two anchors called {event.anchor!r}: rename one")
        if event.anchor is not None:  # until it ends, a collection's alias would be within itself
            self._sizes[event.anchor] = 1 if isinstance(event, ScalarEvent) else MAX_NODES
        if isinstance(event, CollectionStartEvent):
            self._open.append((event.anchor, self._nodes))
        self._nodes += 1
