"""For the person who reviews the colours: the review page, candidate sheets, and the export of accepted outputs."""
