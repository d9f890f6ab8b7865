"""From decoded items to segments: speech, sounds and text seen."""
