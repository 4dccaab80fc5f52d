-- Failed logins of an account, or from an address: what is counted is a keyed hash of whom, so that nobody reads here who was
-- tried. The guesses of a known device count apart; `device` is empty for those of strangers and of addresses.
CREATE TABLE login_failures (
    subject BLOB NOT NULL,
    device BLOB NOT NULL,
    count BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (subject, device)
);
CREATE INDEX login_failures_last_at ON login_failures (last_at);
