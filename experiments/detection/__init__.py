"""Studies of detection: run each with `python -m experiments.detection.<name>`."""
