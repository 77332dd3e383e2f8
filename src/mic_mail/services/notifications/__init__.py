"""The Centre's automatic notices: delivery of a notice, and the notices due in a mailbox's life.

Reg. 6.4, 7.2, 7.3, 15.2. The texts are in `i18n.notices`, the terms in `policy.due_notices`.
"""
