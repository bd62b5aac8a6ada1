-- How partners are let in: the issuer, scopes and quotas of each, its token keys and client certificates. The same names
-- stand in the SQLite file.
--
-- Whoever changes any of it holds the row of partner_access first.

CREATE TABLE partner_access (
    partner_id            TEXT COLLATE "C" PRIMARY KEY REFERENCES partner (partner_id),
    -- Empty while the partner signs no tokens itself.
    issuer_name           TEXT COLLATE "C" NOT NULL,
    -- Scopes with a space between; empty for all.
    allowed_scopes        TEXT   NOT NULL,
    calls_per_second      BIGINT NOT NULL CONSTRAINT partner_access_calls CHECK (calls_per_second BETWEEN 0 AND 1000000),
    concurrent_calls      BIGINT NOT NULL CONSTRAINT partner_access_concurrent
        CHECK (concurrent_calls BETWEEN 0 AND 100000),
    placements_per_second BIGINT NOT NULL CONSTRAINT partner_access_placements
        CHECK (placements_per_second BETWEEN 0 AND 1000000),
    -- Counts every change of this row and of the keys and certificates under it.
    version               BIGINT NOT NULL CONSTRAINT partner_access_version CHECK (version >= 0),
    update_time           BIGINT NOT NULL
);
CREATE UNIQUE INDEX partner_access_issuer_taken ON partner_access (issuer_name) WHERE issuer_name <> '';

CREATE TABLE token_key (
    token_key_id   TEXT COLLATE "C" PRIMARY KEY,
    partner_id     TEXT COLLATE "C" NOT NULL REFERENCES partner_access (partner_id),
    kid            TEXT COLLATE "C" NOT NULL CONSTRAINT token_key_kid CHECK (kid <> ''),
    public_key_jwk TEXT   NOT NULL,
    state          TEXT   NOT NULL CONSTRAINT token_key_state CHECK (state IN ('ACTIVE', 'RETIRING', 'REVOKED')),
    revoke_reason  TEXT   NOT NULL,
    version        BIGINT NOT NULL CONSTRAINT token_key_version CHECK (version >= 1),
    create_time    BIGINT NOT NULL,
    retire_time    BIGINT,
    revoke_time    BIGINT,
    CONSTRAINT token_key_kid_taken UNIQUE (partner_id, kid),
    CONSTRAINT token_key_retiring CHECK (
        (state <> 'ACTIVE' OR retire_time IS NULL) AND (state <> 'RETIRING' OR retire_time IS NOT NULL)
    ),
    CONSTRAINT token_key_revoked CHECK (
        (state = 'REVOKED') = (revoke_reason <> '') AND (state = 'REVOKED') = (revoke_time IS NOT NULL)
    )
);
CREATE INDEX token_key_by_partner ON token_key (partner_id, token_key_id);

CREATE TABLE client_certificate (
    client_certificate_id TEXT COLLATE "C" PRIMARY KEY,
    partner_id            TEXT COLLATE "C" NOT NULL REFERENCES partner_access (partner_id),
    -- 64 hexadecimal digits, or empty.
    sha256_fingerprint    TEXT COLLATE "C" NOT NULL CONSTRAINT client_certificate_fingerprint
        CHECK (length(sha256_fingerprint) IN (0, 64)),
    spiffe_id             TEXT COLLATE "C" NOT NULL,
    start_time            BIGINT,
    expire_time           BIGINT,
    state                 TEXT   NOT NULL CONSTRAINT client_certificate_state CHECK (state IN ('ACTIVE', 'REVOKED')),
    revoke_reason         TEXT   NOT NULL,
    create_time           BIGINT NOT NULL,
    revoke_time           BIGINT,
    CONSTRAINT client_certificate_names_one CHECK (sha256_fingerprint <> '' OR spiffe_id <> ''),
    CONSTRAINT client_certificate_times CHECK (expire_time IS NULL OR start_time IS NULL OR start_time < expire_time),
    CONSTRAINT client_certificate_revoked CHECK (
        (state = 'REVOKED') = (revoke_reason <> '') AND (state = 'REVOKED') = (revoke_time IS NOT NULL)
    )
);
CREATE UNIQUE INDEX client_certificate_fingerprint_taken ON client_certificate (sha256_fingerprint)
    WHERE sha256_fingerprint <> '';
CREATE INDEX client_certificate_by_partner ON client_certificate (partner_id, client_certificate_id);

-- Which partner has or had an issuer's name or a SPIFFE id; for good, so that no other can ever be taken for it.
CREATE TABLE credential_holder (
    kind       TEXT NOT NULL CONSTRAINT credential_holder_kind CHECK (kind IN ('ISSUER', 'SPIFFE')),
    name       TEXT COLLATE "C" NOT NULL CONSTRAINT credential_holder_name CHECK (name <> ''),
    partner_id TEXT COLLATE "C" NOT NULL REFERENCES partner (partner_id),
    PRIMARY KEY (kind, name)
);
