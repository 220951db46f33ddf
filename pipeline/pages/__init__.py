"""HTML pages, each in one file with its pictures, which need no network; plots of matplotlib.

May import: common.
"""
