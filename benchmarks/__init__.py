"""What measures speed and quality: prints tables, writes JSON, never fails a build by a clock."""
