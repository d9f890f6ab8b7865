"""What every model shares at run time: lazy loading and the allocator."""
