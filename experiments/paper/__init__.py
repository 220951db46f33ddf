"""The paper's tables and figures: run each with `python -m experiments.paper.<name>`."""
