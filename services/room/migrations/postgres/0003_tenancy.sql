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

ALTER TABLE outlet ENABLE ROW LEVEL SECURITY;
ALTER TABLE outlet FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON outlet USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE listing ENABLE ROW LEVEL SECURITY;
ALTER TABLE listing FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON listing USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE room_outlet ENABLE ROW LEVEL SECURITY;
ALTER TABLE room_outlet FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON room_outlet USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE question ENABLE ROW LEVEL SECURITY;
ALTER TABLE question FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON question USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE channel_outlet ENABLE ROW LEVEL SECURITY;
ALTER TABLE channel_outlet FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON channel_outlet USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE on_air ENABLE ROW LEVEL SECURITY;
ALTER TABLE on_air FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON on_air USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE follow ENABLE ROW LEVEL SECURITY;
ALTER TABLE follow FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON follow USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE shown_price ENABLE ROW LEVEL SECURITY;
ALTER TABLE shown_price FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON shown_price USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));
