"""A labelled corpus of mail with and without markings of secrecy (Reg. 4.1); its documents are made when they are needed."""
