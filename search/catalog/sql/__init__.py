"""How statements are made on both databases: filters, full text, bulk rows, connections."""
