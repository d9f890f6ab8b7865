"""From untrusted files to decoded items, in killable child processes."""
