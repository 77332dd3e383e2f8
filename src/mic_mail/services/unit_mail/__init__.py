"""What units owe the mail that they exchange (Reg. 11, 12): who opened it, what waits for an answer, what was not passed on;
read from logs and indexes, reminded of once a week.
"""
