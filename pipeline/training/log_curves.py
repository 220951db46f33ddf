"""Logs the losses of a training under Ray Train to MLflow while it runs."""

from typing import Any

from ray.train import Checkpoint, UserCallback

from pipeline.tracking.tracked_run import TrackedRun


class LogCurves(UserCallback):  # type: ignore[misc]
    """Logs each epoch that the first worker reports."""

    def __init__(self, run: TrackedRun) -> None:
        self.run = run

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None
    ) -> None:
        """Log an epoch; Ray calls this method in a separate process."""
        self.run.log_epoch(metrics[0])
