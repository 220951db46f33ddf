"""What is detected, and what would be: run each with `python -m experiments.detection.<name>`."""
