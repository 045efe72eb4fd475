-- Leases, token buckets and failures are small records of one form: by kind and name, in JSON, until they are over.
CREATE TABLE records (
    kind    TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    value   TEXT    NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT;

CREATE INDEX records_by_expiry ON records (expires);

-- markers, budgets and strikes stay: a process of the version before, which is still running, writes there. A later step
-- drops them.
