"""Prints the parameters that hold, the preset applied: `python -m stages params`."""

from dataclasses import asdict

import yaml

from pipeline.settings import load_settings


def main() -> None:
    """Print them as YAML."""
    print(yaml.safe_dump(asdict(load_settings()), sort_keys=False), end="")
