"""Granulometry: one-sided evidence that a window absorbs more than normal ones; no network."""
