"""HTML pages, each in one file with its pictures, which need no network.

May import: common.
"""
