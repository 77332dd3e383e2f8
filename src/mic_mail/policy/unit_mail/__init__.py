"""The care of unit mailboxes: rights, keepers and handovers, openings, answers, reports, exports (Reg. 11, 12)."""
