"""The parameters of a run, as `params.yaml` has them, checked.

May import: common.
"""
