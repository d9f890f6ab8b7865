"""The worker and its pipeline: claim, decode, segment, embed, record."""
