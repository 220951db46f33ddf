"""Errors, files, metrics, names and tables that every package shares.

May import: nothing.
"""
