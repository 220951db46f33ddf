"""AUCs of the test part, trivial scores beside them, figures and the report.

May import: common, models, pages, patches, scans, screening, settings.
"""
