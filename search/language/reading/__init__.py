"""Reading for answers: pages in reading order, statements with their places, and which of them answers."""
