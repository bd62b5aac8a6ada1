-- Contact data is sealed with the shopper's key. The same names stand in the SQLite file.
--
-- Expand: whoever runs the version before goes on writing readable columns, which a background step seals. They go in a
-- later migration, once no such version runs.
ALTER TABLE contact ADD COLUMN partner_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE contact ADD COLUMN shopper_ref TEXT COLLATE "C" NOT NULL DEFAULT '';
-- '' until it is sealed.
ALTER TABLE contact ADD COLUMN key_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE contact ADD COLUMN sealed BYTEA CONSTRAINT contact_is_sealed CHECK
    ((key_id = '') = (sealed IS NULL) AND (key_id = '' OR (partner_id <> '' AND shopper_ref <> ''
     AND recipient_name = '' AND phone_number = '' AND address_lines = '' AND locality = '' AND postal_code = ''
     AND token = '' AND masked_text = '')));
CREATE INDEX contact_by_shopper ON contact (shopper_ref, partner_id, order_id) WHERE key_id <> '';
CREATE INDEX contact_plain ON contact (order_id) WHERE key_id = '';
