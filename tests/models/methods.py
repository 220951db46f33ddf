"""The methods by name, for tests."""

from dataclasses import replace
from typing import get_args

from pipeline.models.interface import Method, method_of
from pipeline.settings.methods import WITHOUT_NETWORKS, MethodName
from pipeline.settings.model import ModelSettings
from tests.tiny import MODEL

METHODS: tuple[MethodName, ...] = tuple(
    name for name in get_args(MethodName) if name not in WITHOUT_NETWORKS
)  # those with networks


def settings_of(name: MethodName) -> ModelSettings:
    return replace(MODEL, method=name, search_steps=5 if name == "anogan" else 500)


def method_named(name: MethodName) -> Method:
    return method_of(settings_of(name))
