"""The reader of params.yaml."""

from pathlib import Path

from fuzz.target import Target
from pipeline.common.files import read_yaml, yaml_text
from pipeline.settings.params import load_settings

ROOT = Path(__file__).parents[1]


def _params() -> list[bytes]:
    """Return the project's own parameters, without comments."""
    return [yaml_text(read_yaml(ROOT / "params.yaml")).encode()]


def _read_params(content: bytes, folder: Path) -> None:
    (folder / "params.yaml").write_bytes(content)
    load_settings(folder / "params.yaml", ROOT / "presets.yaml")


PARAMS = Target(_params, _read_params, 64)
