"""The methods, a folder each. Other packages use them only by `pipeline.models.interface`."""
