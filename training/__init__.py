"""Recipes that train the small projection heads; their records stand beside the weights."""
