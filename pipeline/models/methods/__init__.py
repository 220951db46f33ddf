"""The methods, a folder each; `pipeline.models.interface` is all that others see of them."""
