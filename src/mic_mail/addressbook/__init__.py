"""The electronic directory as an address book (Reg. 2.6): what of it everybody sees, and the forms that programs read."""
