"""The import of mail from other systems (Reg. 10.4)."""
