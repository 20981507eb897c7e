-- Signing keys. The private half is sealed; the public half is what JWKS serves.
CREATE TABLE signing_key (
    kid TEXT NOT NULL PRIMARY KEY,
    alg TEXT NOT NULL,
    public_jwk TEXT NOT NULL,
    private_sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Published from created_at, signs from active_from, is published until expires_at.
    active_from BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX signing_key_alg ON signing_key (alg, active_from);
