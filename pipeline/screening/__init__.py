"""Screening of new scans: which bags are suspicious, and where to look in them.

It has the scores of bags, their files and the page for people.
"""
