"""Messages exported as verifiable files: content on request, and a unit's mail for the records system.

Reg. 4.3, 11.4, 16.5.
"""
