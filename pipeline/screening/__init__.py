"""Screening of new scans: which bags are suspicious, and where to look in them.

May import: cluster, common, models, pages, patches, scans, settings.
"""
