"""How well does a space find what its people look for: measured on their own judgements, and tuned by them."""
