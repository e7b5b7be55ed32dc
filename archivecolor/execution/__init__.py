"""Where a run works: a watched child process, several devices, a Ray cluster."""
