"""Language models, projectors, reranking and grounded answers."""
