"""The import of mail from other systems (Reg. 10.4).

Sources, folder mapping, the ledger, and the run itself.
"""
