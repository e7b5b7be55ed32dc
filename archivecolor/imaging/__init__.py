"""Pure functions on arrays: colour spaces, filters, tiling, orientation, measures."""
