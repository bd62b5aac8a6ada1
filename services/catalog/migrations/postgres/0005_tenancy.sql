-- Row-level security: a unit of work sees and changes the rows of its tenant alone, whatever a statement says.
--
-- Every unit sets `vitrine.partners` for its transaction, by who calls: ids with commas between, `*` for the retailer and the
-- suite itself. Unset or empty, there are no rows. FORCE holds for the owner of the tables too; only a superuser or a role with
-- BYPASSRLS is above it, and units of such a role are refused. The setting is read once for each statement (the SELECT around
-- it), and comparing the text leaks nothing, so indexes are used as before.

ALTER TABLE partner ENABLE ROW LEVEL SECURITY;
ALTER TABLE partner FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON partner USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE payment_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE payment_key FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON payment_key USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE outlet ENABLE ROW LEVEL SECURITY;
ALTER TABLE outlet FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON outlet USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE listing ENABLE ROW LEVEL SECURITY;
ALTER TABLE listing FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON listing USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE licence ENABLE ROW LEVEL SECURITY;
ALTER TABLE licence FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON licence USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE partner_access ENABLE ROW LEVEL SECURITY;
ALTER TABLE partner_access FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON partner_access USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE token_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE token_key FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON token_key USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE client_certificate ENABLE ROW LEVEL SECURITY;
ALTER TABLE client_certificate FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON client_certificate USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE credential_holder ENABLE ROW LEVEL SECURITY;
ALTER TABLE credential_holder FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON credential_holder USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

-- These follow the row that they belong to: what that one's policy hides is not there for them. A look by its key, for partners
-- only, and never a join of whole tables.

ALTER TABLE listing_terms ENABLE ROW LEVEL SECURITY;
ALTER TABLE listing_terms FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON listing_terms USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.listing_id FROM listing AS p WHERE p.listing_id = listing_terms.listing_id) IS NOT NULL);
