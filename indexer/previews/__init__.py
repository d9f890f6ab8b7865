"""Pictures, clips and subtitles that people look at: thumbnails, waveforms, excerpts."""
