"""What people say of results, and what was learnt from it: judgements, and the tuning of spaces."""
