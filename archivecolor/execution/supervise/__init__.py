"""A run in a process of its own, so that whatever kills it (a crash in a decoder, the system when memory runs out)
costs one picture and not the night.

`parent` starts the child, shows what it reports, and starts another one when it was killed; `child` is what works.
"""
