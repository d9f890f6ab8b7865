"""Bulk ingestion: the steps of the worker on many machines, in blocks; shards of Parquet, and their import."""
