-- Signing keys. Which one signs follows from the rows and the clock: of a purpose and algorithm, the latest
-- generation whose signs_from has come.
CREATE TABLE signing_key (
    kid TEXT NOT NULL PRIMARY KEY,
    -- token: what clients verify today; evidence: receipts and checkpoints, verified for years.
    purpose TEXT NOT NULL CHECK (purpose IN ('token', 'evidence')),
    alg TEXT NOT NULL,
    -- 1, 2, …: two nodes cannot both make the next one.
    generation BIGINT NOT NULL,
    -- The key pair (PKCS #8) until it is retired. Then of an evidence key its public half, sealed too, since
    -- who can write this table must not be able to name a signer; of a token key nothing.
    sealed TEXT,
    -- Published from here on.
    created_at BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    -- It can sign no more: the private half was destroyed.
    retired_at BIGINT
);
CREATE UNIQUE INDEX signing_key_purpose_alg_generation ON signing_key (purpose, alg, generation);
