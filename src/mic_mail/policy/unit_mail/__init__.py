"""Rules for unit mailboxes: rights, keepers, handovers, openings, answers and exports (Reg. 11, 12)."""
