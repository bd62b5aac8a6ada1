//! The tables, and what they refuse whoever asks.

use catalog::{Config, Deps};
use kit::lifecycle::{Lifecycle, ReadyConfig};
use store::sql;
use testkit::{Setup, TestDb, on_both_engines, op};

use crate::common::{Server, jwk};

#[test]
fn both_engines_have_the_same_tables() {
    testkit::check_migrations(catalog::migrations());
}

on_both_engines! {
    async fn the_service_is_ready_when_its_tables_are_there(t: TestDb) {
        let life = Lifecycle::with_ready(ReadyConfig { cache_ms: 0, failure_cache_ms: 0, ..ReadyConfig::default() });
        let deps = Deps {
            db: t.db.clone(),
            clock: t.clock.clone(),
            ids: t.ids.clone(),
            lifecycle: life.clone(),
            partners: kit::partners::PartnerDirectory::new(),
        };
        let mut parts = catalog::assemble(Config::default(), deps).await.expect("it can be put together");
        parts.tasks.clear();
        life.adopt(&mut parts);
        let before = life.readiness().await;
        assert!(!before.is_ready() && before.to_string().contains("migrations are missing"), "{before}");
        t.migrate(&catalog::migrations()).await.expect("migrated");
        let after = life.readiness().await;
        assert!(after.is_ready(), "{after}");
    }
}

/// Runs a statement and expects the constraint to refuse it.
macro_rules! refuses {
    ($t:expr, $constraint:literal, $statement:literal) => {{
        let work = op("test.statement", |tx| {
            Box::pin(async move { Ok(sql!(tx, execute, $statement)?) })
        });
        let fault = $t.execute(work).await.expect_err($constraint);
        let text = fault.chain();
        assert!(text.contains($constraint), "{}: {text}", $constraint);
    }};
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn the_tables_hold_the_invariants_by_themselves(t: TestDb) {
        let s = Server::start(&t).await;
        let partner = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        s.propose(&partner, &product.variants[0].variant_id).await;
        s.add_key(&partner, "k1", &jwk(1, "k1")).await;

        refuses!(t, "listing_self_approval", "UPDATE listing SET state = 'APPROVED', decided_by = proposed_by");
        refuses!(t, "listing_agreed", "UPDATE listing SET state = 'LIVE'");
        refuses!(t, "listing_agreed", "UPDATE listing SET decided_by = 'PARTNER'");
        refuses!(t, "listing_decision_reason", "UPDATE listing SET state = 'REJECTED', decided_by = 'PARTNER'");
        refuses!(t, "listing_state_reason", "UPDATE listing SET state = 'PAUSED', decided_by = 'PARTNER'");
        refuses!(t, "listing_state_reason", "UPDATE listing SET state_reason = 'why not'");
        refuses!(t, "listing_state", "UPDATE listing SET state = 'SOLD', decided_by = 'PARTNER'");
        refuses!(t, "listing_price", "UPDATE listing SET price = 0");
        refuses!(t, "listing_window", "UPDATE listing SET window_start_time = 5, window_end_time = 5");
        refuses!(t, "listing_terms_version", "UPDATE listing SET terms_version = 0");
        refuses!(t, "partner_reason", "UPDATE partner SET state = 'SUSPENDED'");
        refuses!(t, "payment_key_revoked", "UPDATE payment_key SET state = 'REVOKED'");
        refuses!(t, "variant_step", "UPDATE variant SET quantity_step = 0");
        refuses!(t, "product_state", "UPDATE product SET state = 'GONE'");
        refuses!(t, "listing_exclusivity", "UPDATE listing SET exclusivity = 'MINE'");
        refuses!(t, "listing_next_commission", "UPDATE listing SET next_commission_basis_points = 5");
        refuses!(
            t, "listing_next_commission",
            "UPDATE listing SET next_commission_basis_points = commission_basis_points, commission_effective_time = 5"
        );
        refuses!(t, "listing_terms_set_by", "UPDATE listing_terms SET set_by = ''");
        refuses!(t, "rulebook_one", "INSERT INTO rulebook (rulebook_id, version) VALUES (2, 1)");
        refuses!(
            t, "legal_entity_retired",
            "INSERT INTO legal_entity (legal_entity_id, legal_entity_code, legal_name, country_code, tax_number, \
             registered_office, state, create_time) VALUES ('e', 'e', 'E', 'DE', '1', '', 'RETIRED', 1)"
        );
        refuses!(
            t, "category_rule_territories",
            "INSERT INTO category_rule (regulated_category, permitted_territories, minimum_age_years, \
             licence_required, note, version, create_time, update_time) VALUES ('a', '', 18, true, '', 1, 1, 1)"
        );
        refuses!(
            t, "licence_period",
            "INSERT INTO licence (licence_id, partner_id, regulated_category, licence_number, territories, \
             start_time, expire_time, state, revoke_reason, create_time) \
             SELECT 'l', partner_id, 'a', '1', '', 5, 5, 'ACTIVE', '', 1 FROM partner"
        );
    }
}
