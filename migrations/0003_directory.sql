-- Who there is: users, groups, what they sign in with, sessions, clients.

-- document is the SCIM value tree, without id, meta, groups and password. The columns beside it are
-- projections of it, written together with it.
CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    user_name TEXT NOT NULL,
    user_name_key TEXT NOT NULL,
    external_id TEXT,
    display_name TEXT,
    email TEXT,
    department TEXT,
    title TEXT,
    active BOOLEAN NOT NULL,
    document TEXT NOT NULL,
    -- Raised when everything of the account ends. A session of an earlier epoch is dead, also one whose
    -- opening raced with the end.
    access_epoch BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    -- A deleted user keeps its row, without names and document: ids are never reused.
    deleted_at BIGINT
);
CREATE UNIQUE INDEX users_user_name_key ON users (user_name_key) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX users_external_id ON users (external_id) WHERE external_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX users_created_at ON users (created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE groups (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    display_name TEXT NOT NULL,
    display_name_key TEXT NOT NULL,
    external_id TEXT,
    document TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX groups_display_name_key ON groups (display_name_key);
CREATE INDEX groups_external_id ON groups (external_id);
CREATE INDEX groups_created_at ON groups (created_at, id);

-- A member that is no user of ours is kept as an unresolved reference, without effect.
CREATE TABLE membership (
    group_id TEXT NOT NULL REFERENCES groups (id),
    member_id TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (group_id, member_id)
);
CREATE INDEX membership_member_id ON membership (member_id, group_id);

CREATE TABLE authenticator (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    kind TEXT NOT NULL,
    -- Of a password: the PHC string of its argon2id hash.
    verifier TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX authenticator_user_id ON authenticator (user_id) WHERE kind = 'password';
CREATE INDEX authenticator_of_user ON authenticator (user_id);

CREATE TABLE invitation (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    token_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE UNIQUE INDEX invitation_token_hash ON invitation (token_hash);
CREATE INDEX invitation_user_id ON invitation (user_id);

CREATE TABLE client (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    name TEXT NOT NULL,
    -- NULL: a public client, which must prove itself by PKCE alone.
    secret_hash TEXT,
    redirect_uris TEXT NOT NULL,
    sensitivity TEXT NOT NULL,
    project TEXT,
    id_token_alg TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE session (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    access_epoch BIGINT NOT NULL,
    token_hash TEXT NOT NULL,
    assurance BIGINT NOT NULL,
    amr TEXT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE UNIQUE INDEX session_token_hash ON session (token_hash);
CREATE INDEX session_user_id ON session (user_id) WHERE ended_at IS NULL;

-- What a user allowed a client in one session; all tokens of one authorization code belong to it.
CREATE TABLE oauth_grant (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    -- A client that is deleted takes with it also a grant that was being made.
    client_id TEXT NOT NULL REFERENCES client (id) ON DELETE CASCADE,
    session_id TEXT NOT NULL REFERENCES session (id),
    scope TEXT NOT NULL,
    acr TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX oauth_grant_user_id ON oauth_grant (user_id) WHERE ended_at IS NULL;
CREATE INDEX oauth_grant_session_id ON oauth_grant (session_id);
CREATE INDEX oauth_grant_client_id ON oauth_grant (client_id);

CREATE TABLE authorization_code (
    code_hash TEXT NOT NULL PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES oauth_grant (id) ON DELETE CASCADE,
    client_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    nonce TEXT,
    code_challenge TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX authorization_code_grant_id ON authorization_code (grant_id);

CREATE TABLE scim_connection (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX scim_connection_name ON scim_connection (name);
CREATE UNIQUE INDEX scim_connection_token_hash ON scim_connection (token_hash);

CREATE TABLE policy (
    name TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    text TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);
