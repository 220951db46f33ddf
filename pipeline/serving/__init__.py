"""The trained model in MLflow's form: whole scans in, p-values, alarms and boxes out.

May import: common, models, pages, patches, scans, screening, settings.
"""
