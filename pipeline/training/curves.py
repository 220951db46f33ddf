"""The losses of a training under Ray Train as curves in MLflow, while it runs."""

from typing import Any

from ray.train import Checkpoint, UserCallback

from pipeline.tracking.tracker import Tracker


class LogCurves(UserCallback):  # type: ignore[misc]
    """Logs each epoch that the first worker reports."""

    def __init__(self, tracker: Tracker, run_id: str) -> None:
        self.tracker, self.run_id = tracker, run_id

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None
    ) -> None:
        """Log an epoch; Ray calls this in a process of its own."""
        self.tracker.log_epoch(self.run_id, metrics[0])
