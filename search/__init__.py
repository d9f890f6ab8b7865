"""The engine: catalogue, embedding spaces, vector indexes, ranking, answering."""
