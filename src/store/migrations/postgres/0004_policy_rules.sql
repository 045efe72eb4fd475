-- Rules of Casbin; fields is a JSON array of texts. The order in which they were added counts where a model says so.

CREATE TABLE policy_rules (
    kind       TEXT    NOT NULL,
    fields     TEXT    NOT NULL,
    place      BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    created_by TEXT    NOT NULL,
    PRIMARY KEY (kind, fields)
);

-- One row: a number that every change of a rule advances, in the same transaction, also one by hand.
CREATE TABLE policy_version (
    id      BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);

INSERT INTO policy_version (id, version) VALUES (1, 0);

CREATE FUNCTION policy_rules_changed() RETURNS trigger AS $$
BEGIN
    UPDATE policy_version SET version = version + 1;
    RETURN NULL;
END
$$ LANGUAGE plpgsql;

CREATE TRIGGER policy_rules_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON policy_rules
    FOR EACH STATEMENT EXECUTE FUNCTION policy_rules_changed();
