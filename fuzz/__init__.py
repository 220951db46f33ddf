"""Feeds damaged files to the readers of foreign files, and reports how they fail."""
