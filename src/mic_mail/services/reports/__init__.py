"""Lists and papers for who leads and who inspects: usage, census, openings, correspondence, incidents, problems, what is due.
They read what is on record and change nothing; a census alone is put on record.
"""
