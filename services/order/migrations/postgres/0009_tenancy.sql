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

ALTER TABLE listing ENABLE ROW LEVEL SECURITY;
ALTER TABLE listing FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON listing USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE allotment_listing ENABLE ROW LEVEL SECURITY;
ALTER TABLE allotment_listing FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON allotment_listing USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE shopper_count ENABLE ROW LEVEL SECURITY;
ALTER TABLE shopper_count FORCE ROW LEVEL SECURITY;
-- What a person took is counted for nobody in particular: any unit that has a tenant counts it.
CREATE POLICY tenancy ON shopper_count USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[])
    OR (partner_id = '' AND (SELECT current_setting('vitrine.partners', true)) <> ''));

ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE orders FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON orders USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE payment ENABLE ROW LEVEL SECURITY;
ALTER TABLE payment FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON payment USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE refund ENABLE ROW LEVEL SECURITY;
ALTER TABLE refund FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON refund USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE deep_link ENABLE ROW LEVEL SECURITY;
ALTER TABLE deep_link FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON deep_link USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE conversion ENABLE ROW LEVEL SECURITY;
ALTER TABLE conversion FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON conversion USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE conversion_reversal ENABLE ROW LEVEL SECURITY;
ALTER TABLE conversion_reversal FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON conversion_reversal USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE person_link ENABLE ROW LEVEL SECURITY;
ALTER TABLE person_link FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON person_link USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE ledger_entry ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_entry FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON ledger_entry USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE compensation ENABLE ROW LEVEL SECURITY;
ALTER TABLE compensation FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON compensation USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE chargeback ENABLE ROW LEVEL SECURITY;
ALTER TABLE chargeback FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON chargeback USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

-- These follow the row that they belong to: what that one's policy hides is not there for them. A look by its key, for partners
-- only, and never a join of whole tables.

ALTER TABLE order_line ENABLE ROW LEVEL SECURITY;
ALTER TABLE order_line FORCE ROW LEVEL SECURITY;
-- Read and changed where its order is. New lines are written hundreds at a time, right after their orders in the same unit: there
-- the look at the order of each would cost more than it is worth, and only a unit without a tenant is refused.
CREATE POLICY tenancy ON order_line USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.order_id FROM orders AS p WHERE p.order_id = order_line.order_id) IS NOT NULL)
    WITH CHECK ((SELECT current_setting('vitrine.partners', true)) <> '');

ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
ALTER TABLE contact FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON contact USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.order_id FROM orders AS p WHERE p.order_id = contact.order_id) IS NOT NULL);

ALTER TABLE order_return ENABLE ROW LEVEL SECURITY;
ALTER TABLE order_return FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON order_return USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.order_id FROM orders AS p WHERE p.order_id = order_return.order_id) IS NOT NULL);

ALTER TABLE order_settlement ENABLE ROW LEVEL SECURITY;
ALTER TABLE order_settlement FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON order_settlement USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.order_id FROM orders AS p WHERE p.order_id = order_settlement.order_id) IS NOT NULL);

ALTER TABLE refund_proposal ENABLE ROW LEVEL SECURITY;
ALTER TABLE refund_proposal FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON refund_proposal USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.order_id FROM orders AS p WHERE p.order_id = refund_proposal.order_id) IS NOT NULL);

ALTER TABLE refund_report ENABLE ROW LEVEL SECURITY;
ALTER TABLE refund_report FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON refund_report USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.refund_id FROM refund AS p WHERE p.refund_id = refund_report.refund_id) IS NOT NULL);

ALTER TABLE conversion_line ENABLE ROW LEVEL SECURITY;
ALTER TABLE conversion_line FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON conversion_line USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR (SELECT p.conversion_id FROM conversion AS p WHERE p.conversion_id = conversion_line.conversion_id) IS NOT NULL);

-- The suite's own business.

ALTER TABLE ledger_backlog ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_backlog FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON ledger_backlog USING ((SELECT current_setting('vitrine.partners', true)) = '*');
