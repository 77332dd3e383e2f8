"""The people who may act and sign, the documents of an act, acts of two persons (Reg. 4.3, 6.1, 7.2.b)."""
