"""Ray: sessions, checks of the cluster, the parameter `storage` and its locks.

May import: common, settings.
"""
