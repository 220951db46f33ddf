"""The search for loss weights and latent size, on Ray Tune.

May import: cluster, common, models, pages, patches, settings, tracking, training.
"""
