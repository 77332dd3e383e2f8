"""The present evidence for each clause: counts, last runs, overdue items.

Shown by `mic-mail regulation list|show`. A function marked `@evidence("6.4.c")` yields `Finding`s for that clause from the
records; it reads only and decides nothing. A file that may be unreadable has a function of its own, so that it hides nothing
else.
"""
