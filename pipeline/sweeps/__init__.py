"""The search for loss weights and latent size, on Ray Tune.

May import: cluster, common, models, patches, settings, tracking, training.
"""
