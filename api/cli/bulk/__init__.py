"""Bulk ingestion on the command line: jobs on many machines, shards, estimates."""
