"""Handing a unit's mailbox over as it stands, and showing later what was handed over (Reg. 12.3.d)."""
