"""Messages as files that can be proved: the content of a mailbox on request (Reg. 4.3, 11.4, 16.5), a unit's mail for the
records system (Reg. 11.4).
"""
