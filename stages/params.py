"""Prints the settings in effect, with the preset's values: `python -m stages params`."""

from dataclasses import asdict

from pipeline.common.files import yaml_text
from pipeline.settings.params import load_settings


def main() -> None:
    """Print the settings as YAML."""
    print(yaml_text(asdict(load_settings())), end="")
