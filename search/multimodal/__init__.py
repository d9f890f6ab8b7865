"""A language model that sees: feature maps become soft tokens in a causal model with adapters."""
