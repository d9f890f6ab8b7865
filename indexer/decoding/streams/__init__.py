"""The streams of a recording: their one clock, their length, which sound track is heard, and as what."""
