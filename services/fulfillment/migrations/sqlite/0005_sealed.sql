-- Words about cases and returns are sealed with the shopper's key, in the columns that held them. The same names stand
-- in the PostgreSQL file.

-- Whose order it is: the feed says it when the order is paid. Returns of orders from before have a key of their order's
-- own.
CREATE TABLE order_shopper (
    order_id    TEXT NOT NULL PRIMARY KEY,
    partner_id  TEXT NOT NULL,
    shopper_ref TEXT NOT NULL CONSTRAINT order_shopper_is_somebody CHECK (shopper_ref <> '')
) STRICT;

-- '' where there is no note, and where it was written before.
ALTER TABLE goods_return ADD COLUMN shopper_ref TEXT NOT NULL DEFAULT '';
CREATE INDEX goods_return_by_shopper ON goods_return (shopper_ref, partner_id, return_id)
    WHERE shopper_ref <> '' AND shopper_note <> '';

-- What is still to be sealed.
CREATE INDEX care_message_plain ON care_message (message_id) WHERE body <> '' AND substr(body, 1, 9) <> 'sealed-1:';
CREATE INDEX care_arbiter_plain ON care_arbiter (case_id) WHERE substr(display_name, 1, 9) <> 'sealed-1:';
CREATE INDEX goods_return_plain ON goods_return (return_id)
    WHERE shopper_note <> '' AND substr(shopper_note, 1, 9) <> 'sealed-1:';
