"""What a partition keeps its rows in: flat, or in lists; and the files they live in."""
