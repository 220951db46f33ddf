"""Scan sources: each turns a folder into scans with their regions."""
