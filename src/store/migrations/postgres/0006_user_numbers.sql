-- As in ../sqlite/0011_user_numbers.sql.
CREATE TABLE user_numbers (
    last BIGINT NOT NULL
);

INSERT INTO user_numbers VALUES (3);
