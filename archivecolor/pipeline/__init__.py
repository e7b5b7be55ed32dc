"""From a source to its row in the manifest: find, read, colour, disclose, write, record."""
