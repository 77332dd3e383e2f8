"""Today's evidence for each clause: counts, last runs, what is overdue (`mic-mail regulation list|show`).

One module an area. Each gives `Finding`s by clause from what is on record; reads only, decides nothing.
"""
