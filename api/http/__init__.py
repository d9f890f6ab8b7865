"""What HTTP needs around the routes: access, errors, uploads, files, streams."""
