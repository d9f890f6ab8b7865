"""The SQL catalogue: the only truth. Partitions and full-text indexes are derived from it."""
