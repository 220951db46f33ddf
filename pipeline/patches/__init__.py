"""Windows of scans in HDF5 shards: how they are cut, stored and read.

May import: cluster, common, scans, settings.
"""
