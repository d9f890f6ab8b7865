"""Saved searches, the events that tell of files that match them, and their way to webhooks."""
