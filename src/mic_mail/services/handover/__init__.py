"""The handover of a unit's mailbox as it stands, and later proof of its content (Reg. 12.3.d)."""
