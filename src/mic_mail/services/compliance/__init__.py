"""The present evidence for each clause: counts, last runs, overdue items.

Shown by `mic-mail regulation list|show`. One module an area. Each yields `Finding`s by clause from the records; reads
only, decides nothing.
"""
