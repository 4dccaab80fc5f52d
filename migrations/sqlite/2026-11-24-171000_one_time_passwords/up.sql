-- Until when a password that somebody was given can be exchanged for one of their own; none where it is their own.
ALTER TABLE users ADD COLUMN one_time_until BIGINT;
