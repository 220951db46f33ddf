"""MLflow: logs the runs of a pipeline, of its sweep and of the sweep's trials.

May import: common, settings.
"""
