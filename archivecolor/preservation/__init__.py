"""After a run: checks a finished folder, and bags it for a preservation system."""
