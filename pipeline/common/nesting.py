"""Limits on the nesting of foreign JSON and YAML."""

import re
from typing import Any

from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event
from ruamel.yaml.parser import Parser

from pipeline.common.errors import InputError

MAX_DEPTH = 32  # levels; COCO has 6
NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))


def is_deep_json(content: bytes) -> bool:
    """Return whether valid JSON is nested deeper than `MAX_DEPTH`.

    A value nested so deep may be read, but then not be shown or written: Python counts its calls.
    """
    content = content.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, NO_BRACKETS)
    brackets = re.sub(rb'"[^"]*"', b"", content)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")  # the innermost level
    return bool(brackets)


class LimitedParser(Parser):
    """A parser of YAML that refuses deep nesting, and aliases, which could repeat without end.

    It does so before it builds a value. The errors are InputErrors without the file's name.
    """

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        self._depth = 0

    def get_event(self) -> Event:
        """Return the next event of the file."""
        event: Event = super().get_event()
        if isinstance(event, AliasEvent):
            line = event.start_mark.line + 1
            raise InputError(f"line {line}: an alias, *{event.anchor}: write its value out")
        if isinstance(event, CollectionStartEvent):
            self._depth += 1
        elif isinstance(event, CollectionEndEvent):
            self._depth -= 1
        if self._depth > MAX_DEPTH:
            raise InputError(f"nested deeper than {MAX_DEPTH} levels: flatten it")
        return event
