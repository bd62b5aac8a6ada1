-- Row-level security: a unit of work sees and changes the rows of its tenant alone, whatever a statement says.
--
-- Every unit sets `vitrine.partners` for its transaction, by who calls: ids with commas between, `*` for the retailer and the
-- suite itself. Unset or empty, there are no rows. FORCE holds for the owner of the tables too; only a superuser or a role with
-- BYPASSRLS is above it, and units of such a role are refused. The setting is read once for each statement (the SELECT around
-- it), and comparing the text leaks nothing, so indexes are used as before.

ALTER TABLE feed ENABLE ROW LEVEL SECURITY;
ALTER TABLE feed FORCE ROW LEVEL SECURITY;
-- Any unit that has a tenant may tell of what is nobody's; only the retailer and the suite read it.
CREATE POLICY tenancy ON feed USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]))
    WITH CHECK ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[])
    OR (partner_id = '' AND (SELECT current_setting('vitrine.partners', true)) <> ''));

ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency FORCE ROW LEVEL SECURITY;
-- A scope begins with whose it is: `partner|<id>`, or `viewer|<issuer>|<id>|..`; all others are the retailer's and
-- the suite's.
CREATE POLICY tenancy ON idempotency USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR split_part(scope, '|', CASE split_part(scope, '|', 1) WHEN 'partner' THEN 2 WHEN 'viewer' THEN 3 ELSE 1 END)
        = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE shopper_erasure ENABLE ROW LEVEL SECURITY;
ALTER TABLE shopper_erasure FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON shopper_erasure USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE partner_directory ENABLE ROW LEVEL SECURITY;
ALTER TABLE partner_directory FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON partner_directory USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

-- The suite's own business.

ALTER TABLE feed_cursor ENABLE ROW LEVEL SECURITY;
ALTER TABLE feed_cursor FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON feed_cursor USING ((SELECT current_setting('vitrine.partners', true)) = '*');

ALTER TABLE feed_parked ENABLE ROW LEVEL SECURITY;
ALTER TABLE feed_parked FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON feed_parked USING ((SELECT current_setting('vitrine.partners', true)) = '*');
