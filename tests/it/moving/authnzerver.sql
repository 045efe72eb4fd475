-- A database of authnzerver (its repository at 9a038e3, newer than 0.1.3 on PyPI), made by its own code with argon2-cffi
-- 25.1.0, as in make_authnzerver.py: the tables as SQLAlchemy makes them, and some of the rows. On PostgreSQL DATETIME is
-- TIMESTAMP.

CREATE TABLE roles (
    name VARCHAR(100) NOT NULL,
    "desc" VARCHAR(280) NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE users (
    user_id INTEGER NOT NULL,
    system_id VARCHAR(50) NOT NULL,
    full_name VARCHAR(280),
    password TEXT NOT NULL,
    email VARCHAR(280) NOT NULL,
    email_verified BOOLEAN NOT NULL,
    is_active BOOLEAN NOT NULL,
    emailverify_sent_datetime DATETIME,
    emailforgotpass_sent_datetime DATETIME,
    emailchangepass_sent_datetime DATETIME,
    last_login_success DATETIME,
    last_login_try DATETIME,
    failed_login_tries INTEGER,
    extra_info JSON,
    created_on DATETIME NOT NULL,
    last_updated DATETIME NOT NULL,
    user_role VARCHAR(100) NOT NULL,
    PRIMARY KEY (user_id),
    UNIQUE (email),
    FOREIGN KEY(user_role) REFERENCES roles (name)
);
CREATE TABLE sessions (
    session_token VARCHAR NOT NULL,
    ip_address VARCHAR(280) NOT NULL,
    user_agent VARCHAR(280) NOT NULL,
    user_id INTEGER NOT NULL,
    created DATETIME NOT NULL,
    expires DATETIME NOT NULL,
    extra_info_json JSON,
    PRIMARY KEY (session_token),
    FOREIGN KEY(user_id) REFERENCES users (user_id) ON DELETE CASCADE
);
CREATE TABLE groups (
    group_id INTEGER NOT NULL,
    system_id VARCHAR(50) NOT NULL,
    group_name VARCHAR(280) NOT NULL,
    visibility VARCHAR(100) NOT NULL,
    created_by INTEGER NOT NULL,
    is_active BOOLEAN NOT NULL,
    created_on DATETIME NOT NULL,
    last_updated DATETIME NOT NULL,
    group_role VARCHAR(100) NOT NULL,
    extra_info JSON,
    PRIMARY KEY (group_id),
    FOREIGN KEY(created_by) REFERENCES users (user_id),
    FOREIGN KEY(group_role) REFERENCES roles (name)
);
CREATE TABLE preferences (
    pref_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    pref_name VARCHAR(100) NOT NULL,
    pref_value VARCHAR(280),
    PRIMARY KEY (pref_id),
    FOREIGN KEY(user_id) REFERENCES users (user_id) ON DELETE CASCADE
);
CREATE TABLE apikeys_nosession (
    apikey TEXT NOT NULL,
    issued DATETIME NOT NULL,
    expires DATETIME NOT NULL,
    not_valid_before DATETIME NOT NULL,
    refresh_token TEXT NOT NULL,
    refresh_issued DATETIME NOT NULL,
    refresh_expires DATETIME NOT NULL,
    refresh_nbf DATETIME NOT NULL,
    user_id INTEGER NOT NULL,
    user_role VARCHAR(100) NOT NULL,
    PRIMARY KEY (apikey),
    FOREIGN KEY(user_id) REFERENCES users (user_id) ON DELETE CASCADE,
    FOREIGN KEY(user_role) REFERENCES roles (name) ON DELETE CASCADE
);
CREATE TABLE user_groups (
    user_id INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    PRIMARY KEY (user_id, group_id),
    FOREIGN KEY(user_id) REFERENCES users (user_id) ON DELETE CASCADE,
    FOREIGN KEY(group_id) REFERENCES groups (group_id) ON DELETE CASCADE
);
CREATE TABLE apikeys (
    apikey TEXT NOT NULL,
    issued DATETIME NOT NULL,
    expires DATETIME NOT NULL,
    not_valid_before DATETIME NOT NULL,
    user_id INTEGER NOT NULL,
    user_role VARCHAR(100) NOT NULL,
    session_token TEXT NOT NULL,
    PRIMARY KEY (apikey),
    FOREIGN KEY(user_id) REFERENCES users (user_id) ON DELETE CASCADE,
    FOREIGN KEY(user_role) REFERENCES roles (name) ON DELETE CASCADE,
    FOREIGN KEY(session_token) REFERENCES sessions (session_token) ON DELETE CASCADE
);

INSERT INTO roles VALUES
    ('anonymous', 'Role with anonymous privileges'),
    ('authenticated', 'Role with authenticated privileges'),
    ('superuser', 'Role with superuser privileges'),
    ('staff', 'Role with staff privileges'),
    ('locked', 'Role with locked privileges');
INSERT INTO users VALUES
    (1, 'fc39258c-bc0c-448d-90cd-932b773749e5', 'Superuser account', '$argon2id$v=19$m=65536,t=3,p=4$G4sueSDVyEGyro8MuBUtuw$9j6CI16g1VjjaJGg/tRwrJZSLohs7jOBS/hhS9CT+pU', 'root@example.org', true, true, NULL, NULL, NULL, NULL, NULL, 0, '{"provenance": "auto-created", "type": "system-user"}', '2026-11-27 05:46:58.154754', '2026-11-27 05:46:58.154757', 'superuser'),
    (2, '79ec6301-9277-4b41-bbf6-ecde298f87f1', 'The systemwide anonymous user', '$argon2id$v=19$m=65536,t=3,p=4$o5c1EUPOJu+7yqZXMG2LJg$Mv5D/sLcTb18e870h6h9W30n66te/ahfqtr1AkKOr7s', 'anonuser@localhost', true, true, NULL, NULL, NULL, NULL, NULL, 0, '{"provenance": "auto-created", "type": "system-user"}', '2026-11-27 05:46:58.270334', '2026-11-27 05:46:58.270337', 'anonymous'),
    (3, '1786880b-6e71-486d-af9c-bd7b50df0993', 'The systemwide locked user', '$argon2id$v=19$m=65536,t=3,p=4$adFIocTaNpFNK7ywUdqC4g$OWKYCXG3IQlpAMhtHvdCHx97DFfSvDqD9B7YimAw+Dw', 'dummyuser@localhost', true, false, NULL, NULL, NULL, NULL, NULL, 0, '{"provenance": "auto-created", "type": "locked-user"}', '2026-11-27 05:46:58.382969', '2026-11-27 05:46:58.382973', 'locked'),
    (4, '5f1f7471-1ea1-45c0-be21-fc2bac8d3495', 'Ada Lovelace', '$argon2id$v=19$m=65536,t=3,p=4$B7YDvKJIxfborvMhJkXNKg$Nw3UGvBuBxUtkYIuDx2roYQ+1FDl2f59esgPwSwU66g', 'person00000@example.org', true, false, '2026-11-27 05:46:58.808088', NULL, NULL, NULL, NULL, 0, '{"city": "City 0", "newsletter": true, "provenance": "request-created", "type": "normal-user", "verify_retry_wait": 6, "previous_user_roles": ["locked", "authenticated"]}', '2026-11-27 05:46:58.808091', '2026-11-27 05:46:58.819199', 'locked'),
    (5, '2561535e-a68d-4f7c-a828-acaa9a73f8f8', 'Björn Lovelace', '$argon2id$v=19$m=65536,t=3,p=4$vEPfQpD2ycVmoAKvvOoZqQ$j8wdjNZgE0fpm+BlOvS+jHhy8IclRL4al7bfOwTvPy0', 'person00001@example.org', true, true, '2026-11-27 05:46:58.940448', NULL, NULL, NULL, NULL, 0, '{"city": "City 1", "newsletter": false, "provenance": "request-created", "type": "normal-user", "verify_retry_wait": 6}', '2026-11-27 05:46:58.940451', '2026-11-27 05:46:58.948681', 'staff'),
    (6, 'e8c03900-6f77-4cbf-9eb3-05b04cabf90a', 'Chidi Lovelace', '$argon2id$v=19$m=65536,t=3,p=4$BXNCmyo9nmlxHsmajwZTIw$OCJPsV5quuc9I3nF9BxU0mJiQ6bBxYiDam9uqbxzWN4', 'person00002@example.org', true, true, '2026-11-27 05:46:59.079824', NULL, NULL, NULL, NULL, 0, '{"city": "City 2", "newsletter": true, "provenance": "request-created", "type": "normal-user", "verify_retry_wait": 6}', '2026-11-27 05:46:59.079827', '2026-11-27 05:46:59.084095', 'authenticated'),
    (7, '92801f0c-bd7f-4a98-a5b3-ca8296bfe7a5', 'Désirée Lovelace', '$argon2id$v=19$m=65536,t=3,p=4$G7yt+ujQ3SEWx+xqBEQ8OQ$cNb/nJKTe9foehAWSUgENJT77L2lGwu8Aqo8l9ygwCk', 'person00003@example.org', true, true, '2026-11-27 05:46:59.348624', NULL, NULL, NULL, NULL, 0, '{"city": "City 3", "newsletter": false, "provenance": "request-created", "type": "normal-user", "verify_retry_wait": 6}', '2026-11-27 05:46:59.348627', '2026-11-27 05:46:59.353167', 'authenticated'),
    (9, 'c1e30093-4a9a-4dd7-8ea8-bd67090e7529', 'Fatima Lovelace', '$argon2id$v=19$m=65536,t=3,p=4$xaemC0FZ51QTP0qBJsHozw$1wQaJiiWvr71JxQb7VYkbttTeV7XBqRLy8j/AMoPq1c', 'person00005@example.org', true, true, '2026-11-27 05:46:59.646627', NULL, NULL, NULL, NULL, 0, '{"city": "City 5", "newsletter": false, "provenance": "request-created", "type": "normal-user", "verify_retry_wait": 6}', '2026-11-27 05:46:59.646631', '2026-11-27 05:46:59.651035', 'authenticated'),
    (13, 'b7f10d95-a1fe-4c50-80d7-9f8700240135', 'João Lovelace', '$argon2id$v=19$m=65536,t=3,p=4$iM8aUOLufpV25llNVdxx+Q$dKZOFAlmu5nRT937AB5ztUAsWw1JIs7iGTzifvsFoVQ', 'person00009@example.org', false, false, '2026-11-27 05:47:00.182518', NULL, NULL, NULL, NULL, 0, '{"city": "City 9", "newsletter": false, "provenance": "request-created", "type": "normal-user", "verify_retry_wait": 6}', '2026-11-27 05:47:00.182522', '2026-11-27 05:47:00.182522', 'locked');
INSERT INTO sessions VALUES
    ('eW4LlhoqJzuGB-9W2WNpm-l0-D1M3TK9wGMg-1id6h8', '192.0.2.8', 'Browser/1.0', 7, '2026-11-27 05:46:59.378591', '2026-12-27 05:46:59.354619', '{"n": 1}');
INSERT INTO apikeys VALUES
    ('vcNWhJQvOc2TWbimAgOZbfJVFM6I8o0Dvb4HL_j8NQU', '2026-11-27 05:46:59.384020', '2027-02-25 05:46:59.384020', '2026-11-27 05:46:59.384020', 7, 'authenticated', 'eW4LlhoqJzuGB-9W2WNpm-l0-D1M3TK9wGMg-1id6h8');
INSERT INTO apikeys_nosession VALUES
    ('8oy4fxZgKG7ySop_H079hhO7NIcsfUGNEsxw2B8xKC4', '2026-11-27 05:46:59.090490', '2027-02-25 05:46:59.090490', '2026-11-27 05:46:59.090490', '$argon2id$v=19$m=65536,t=3,p=4$RmYZ9YHKNOk7PAqiCbxyWw$VPEXhbBo/JAFSXJe1MVdYSTt2A/Km2400o6qEQ7b1QY', '2026-11-27 05:46:59.090490', '2027-05-26 05:46:59.090490', '2026-11-27 05:46:59.090490', 6, 'authenticated');
