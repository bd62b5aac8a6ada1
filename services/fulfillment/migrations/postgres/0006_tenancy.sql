-- Row-level security: a unit of work sees and changes the rows of its tenant alone, whatever a statement says.
--
-- Every unit sets `vitrine.partners` for its transaction, by who calls: ids with commas between, `*` for the retailer and the
-- suite itself. Unset or empty, there are no rows. FORCE holds for the owner of the tables too; only a superuser or a role with
-- BYPASSRLS is above it, and units of such a role are refused. The setting is read once for each statement (the SELECT around
-- it), and comparing the text leaks nothing, so indexes are used as before.

ALTER TABLE tombstone ENABLE ROW LEVEL SECURITY;
ALTER TABLE tombstone FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON tombstone USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE fulfillment ENABLE ROW LEVEL SECURITY;
ALTER TABLE fulfillment FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON fulfillment USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE shipment ENABLE ROW LEVEL SECURITY;
ALTER TABLE shipment FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON shipment USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE goods_return ENABLE ROW LEVEL SECURITY;
ALTER TABLE goods_return FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON goods_return USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE aftersale ENABLE ROW LEVEL SECURITY;
ALTER TABLE aftersale FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON aftersale USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE care_case ENABLE ROW LEVEL SECURITY;
ALTER TABLE care_case FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON care_case USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE order_shopper ENABLE ROW LEVEL SECURITY;
ALTER TABLE order_shopper FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON order_shopper USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

-- These follow the row that they belong to: what that one's policy hides is not there for them. A look by its key, for partners
-- only, and never a join of whole tables.

ALTER TABLE fulfillment_line ENABLE ROW LEVEL SECURITY;
ALTER TABLE fulfillment_line FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON fulfillment_line USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.fulfillment_id FROM fulfillment AS p WHERE p.fulfillment_id = fulfillment_line.fulfillment_id) IS NOT NULL);

ALTER TABLE block_change ENABLE ROW LEVEL SECURITY;
ALTER TABLE block_change FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON block_change USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.fulfillment_id FROM fulfillment AS p WHERE p.fulfillment_id = block_change.fulfillment_id) IS NOT NULL);

ALTER TABLE line_money ENABLE ROW LEVEL SECURITY;
ALTER TABLE line_money FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON line_money USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.fulfillment_id FROM fulfillment AS p WHERE p.fulfillment_id = line_money.fulfillment_id) IS NOT NULL);

ALTER TABLE shipment_line ENABLE ROW LEVEL SECURITY;
ALTER TABLE shipment_line FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON shipment_line USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.shipment_id FROM shipment AS p WHERE p.shipment_id = shipment_line.shipment_id) IS NOT NULL);

ALTER TABLE tracking_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE tracking_event FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON tracking_event USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.shipment_id FROM shipment AS p WHERE p.shipment_id = tracking_event.shipment_id) IS NOT NULL);

ALTER TABLE goods_return_line ENABLE ROW LEVEL SECURITY;
ALTER TABLE goods_return_line FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON goods_return_line USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.return_id FROM goods_return AS p WHERE p.return_id = goods_return_line.return_id) IS NOT NULL);

ALTER TABLE goods_return_condition ENABLE ROW LEVEL SECURITY;
ALTER TABLE goods_return_condition FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON goods_return_condition USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.return_id FROM goods_return AS p WHERE p.return_id = goods_return_condition.return_id) IS NOT NULL);

ALTER TABLE aftersale_line ENABLE ROW LEVEL SECURITY;
ALTER TABLE aftersale_line FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON aftersale_line USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.aftersale_id FROM aftersale AS p WHERE p.aftersale_id = aftersale_line.aftersale_id) IS NOT NULL);

ALTER TABLE aftersale_reshipped ENABLE ROW LEVEL SECURITY;
ALTER TABLE aftersale_reshipped FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON aftersale_reshipped USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.aftersale_id FROM aftersale AS p WHERE p.aftersale_id = aftersale_reshipped.aftersale_id) IS NOT NULL);

ALTER TABLE aftersale_evidence ENABLE ROW LEVEL SECURITY;
ALTER TABLE aftersale_evidence FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON aftersale_evidence USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.aftersale_id FROM aftersale AS p WHERE p.aftersale_id = aftersale_evidence.aftersale_id) IS NOT NULL);

ALTER TABLE aftersale_step ENABLE ROW LEVEL SECURITY;
ALTER TABLE aftersale_step FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON aftersale_step USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.aftersale_id FROM aftersale AS p WHERE p.aftersale_id = aftersale_step.aftersale_id) IS NOT NULL);

ALTER TABLE care_arbiter ENABLE ROW LEVEL SECURITY;
ALTER TABLE care_arbiter FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON care_arbiter USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.case_id FROM care_case AS p WHERE p.case_id = care_arbiter.case_id) IS NOT NULL);

ALTER TABLE care_timer ENABLE ROW LEVEL SECURITY;
ALTER TABLE care_timer FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON care_timer USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.case_id FROM care_case AS p WHERE p.case_id = care_timer.case_id) IS NOT NULL);

ALTER TABLE care_message ENABLE ROW LEVEL SECURITY;
ALTER TABLE care_message FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON care_message USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.case_id FROM care_case AS p WHERE p.case_id = care_message.case_id) IS NOT NULL);

ALTER TABLE care_attachment ENABLE ROW LEVEL SECURITY;
ALTER TABLE care_attachment FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON care_attachment USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.case_id FROM care_case AS p WHERE p.case_id = care_attachment.case_id) IS NOT NULL);

ALTER TABLE care_action ENABLE ROW LEVEL SECURITY;
ALTER TABLE care_action FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON care_action USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.case_id FROM care_case AS p WHERE p.case_id = care_action.case_id) IS NOT NULL);

ALTER TABLE care_outcome ENABLE ROW LEVEL SECURITY;
ALTER TABLE care_outcome FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON care_outcome USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.case_id FROM care_case AS p WHERE p.case_id = care_outcome.case_id) IS NOT NULL);

ALTER TABLE care_required ENABLE ROW LEVEL SECURITY;
ALTER TABLE care_required FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON care_required USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.case_id FROM care_case AS p WHERE p.case_id = care_required.case_id) IS NOT NULL);
