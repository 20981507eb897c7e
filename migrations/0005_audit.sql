-- The end of the journal's chain, and signed marks along it.

-- One row. Whoever gives facts their place moves it in the same transaction, from what it was: of two who
-- try at once, one succeeds. The chain begins with 32 zero bytes.
CREATE TABLE chain_head (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL,
    chain TEXT NOT NULL,
    -- The latest checkpoint, 0 before the first.
    checkpoint_seq BIGINT NOT NULL,
    checkpoint_at BIGINT NOT NULL
);
INSERT INTO chain_head (id, seq, chain, checkpoint_seq, checkpoint_at)
VALUES (1, 0, 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 0, 0);

-- How the chain stood at one place, signed with an evidence key.
CREATE TABLE checkpoint (
    seq BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    jws TEXT NOT NULL
);
