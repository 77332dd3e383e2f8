"""The people who may act and sign, an act's documents, acts of two persons (Reg. 4.3, 6.1, 7.2.b)."""
