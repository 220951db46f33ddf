"""Networks, losses, steps and scores of all methods.

May import: common, settings.
"""
