"""MLflow: the runs of a pipeline, its sweep and its trials.

May import: common, settings.
"""
