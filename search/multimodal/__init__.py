"""A language model that sees and hears: feature maps become soft tokens in a causal model with adapters."""
