"""Understanding a query: from text and examples to a value with one condition."""
