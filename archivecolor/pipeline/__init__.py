"""The way of a photograph and of a film: found, read, coloured, written, recorded."""
