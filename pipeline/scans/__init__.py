"""Scans and their labels: every format, the generated ones, bags and splits.

May import: common, settings.
"""
