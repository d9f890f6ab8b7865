"""Files that are not in a local folder: buckets, servers, archives."""
