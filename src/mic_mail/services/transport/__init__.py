"""A message's way in, from MAIL to the promise to keep it: envelope, sender, recipients, checks, spool, mailboxes.
`mailflow` joins them; what is asked of mail from other servers alone is in `inbound`.
"""
