"""AUCs of the test part, trivial scores beside them, figures and the report.

May import: common, models, patches, scans, settings.
"""
