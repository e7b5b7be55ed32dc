"""`archivecolor review`: the review page with a server behind it, on this machine alone.

`server` answers the browser's requests. `collection` has the rows of the output folder and the decisions about them,
`pictures` the pictures that are open, `corrections` the colours that a person gives them, `tasks` the runs, checks and
exports that the page starts.
"""
