"""Granulometry: how much more a window absorbs than normal windows do; no network."""
