"""Ray: a session of it, what it must have, and who may write to a store.

May import: common, settings.
"""
