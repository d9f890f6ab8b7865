"""Saved searches: which new files match them, and how people and programs are told."""
