"""The people who may act and sign, the documents that an act rests on, and acts of two persons (Reg. 4.3, 6.1, 7.2.b)."""
