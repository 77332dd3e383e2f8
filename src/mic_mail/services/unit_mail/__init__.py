"""The duties of units for the mail they exchange (Reg. 11, 12): openings, answers, document handoff.

Read from logs and indexes, with reminders once a week.
"""
