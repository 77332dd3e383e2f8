"""Commands that change messages: STORE, COPY, MOVE, APPEND, REPLACE."""
