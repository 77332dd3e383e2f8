"""The electronic directory as an address book (Reg. 2.6): its public part, in the formats of programs."""
