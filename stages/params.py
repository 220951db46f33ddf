"""Prints the parameters that hold, the preset applied: `python -m stages params`."""

from dataclasses import asdict

from pipeline.common.files import yaml_text
from pipeline.settings.params import load_settings


def main() -> None:
    """Print them as YAML."""
    print(yaml_text(asdict(load_settings())), end="")
