"""What a person looks at and decides on: the review page, candidate sheets, the export of what was accepted."""
