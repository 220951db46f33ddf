"""The training loop, the choice of the best epoch, and both on Ray Train.

May import: cluster, common, models, patches, settings, tracking.
"""
