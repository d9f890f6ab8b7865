"""Partitions: the vectors of one signal in one space, and how they follow the catalogue."""
