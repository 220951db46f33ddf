"""AUCs of the test split, trivial scores beside them, figures and the report.

May import: common, models, pages, patches, scans, screening, settings.
"""
