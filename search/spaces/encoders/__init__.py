"""Encoders of other people as spaces: any model of sentence-transformers, alone or one for each sense."""
