"""Embedding spaces: the only place that knows which models there are."""
