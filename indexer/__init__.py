"""Turns files into searchable segments: scan, decode, segment, embed, store."""
