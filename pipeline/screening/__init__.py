"""Screening of new scans: which bags are suspicious, and where to look in them.

May import: common, models, pages, patches, scans, settings.
"""
