"""What the Centre writes into mailboxes by itself: how a notice becomes a message, and what is due in a mailbox's life
(Reg. 6.4, 7.2, 7.3, 15.2). The words are in `i18n.notices`, the terms in `policy.warnings`.
"""
