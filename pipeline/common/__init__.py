"""Errors, files, metrics and names that every package shares.

May import: nothing.
"""
