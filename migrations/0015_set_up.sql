-- Links with which the first administrator is made. A handful of rows, and none once there is one.
CREATE TABLE set_up_link (
    -- Of the token together with the issuer: it is good nowhere else.
    token_hash TEXT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
