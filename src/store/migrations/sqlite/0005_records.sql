-- Leases, token buckets and failures are small records of one form: by kind and name, in JSON, until they are over.
CREATE TABLE records (
    kind    TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    value   TEXT    NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT;

CREATE INDEX records_by_expiry ON records (expires);

-- The names, and what is written under them, are the same as before.
INSERT INTO records SELECT 'lease', name, json_object('value', value, 'expires', expires), expires FROM markers;
INSERT INTO records SELECT 'bucket', name, json_object('full_at', full_at), full_at FROM budgets;
INSERT INTO records SELECT 'failures', name, json_object('count', count, 'last', last, 'expires', expires), expires FROM strikes;

-- markers, budgets and strikes stay: a process of the version before, which is still running, writes there. A later step
-- drops them.
