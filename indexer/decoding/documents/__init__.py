"""Documents: PDF, scans of several pages, and text, as pages and lines."""
