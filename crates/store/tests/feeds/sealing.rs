//! Data keys and erasure: what is destroyed stays destroyed, in a key store from a backup too.

use std::sync::{Arc, Mutex, PoisonError};

use contracts::id::PartnerId;
use kit::errors::Fault;
use kit::seal::Place;
use store::erasure::{
    Deferral, Eraser, Erases, Erasure, Progress, erasure_request, erasures_of, key_for,
};
use store::sealed::{is_sealed, open_text, seal_text};
use store::{Operation, Owner, ShopperKeys, Tx};
use testkit::{Setup, TestDb, on_both_engines};

const KIND: &str = "CONTACT";

/// Any tables do: what counts are the store's own.
fn setup() -> Setup {
    Setup::new().migrations(store::keys::KEYS)
}

fn owner(shopper: &str) -> Owner {
    Owner::new(KIND, PartnerId::from_uuid(1), shopper)
}

fn place() -> Place<'static> {
    Place::new("thing", "row-1", "text")
}

/// Keeps data while somebody says so.
#[derive(Clone, Default)]
struct Needs(Arc<Mutex<Option<Deferral>>>);

impl Needs {
    fn say(&self, deferral: Option<Deferral>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = deferral;
    }
}

impl Erases for Needs {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }

    async fn erase(&self, _: &mut Tx, _: &Erasure) -> Result<Option<Deferral>, Fault> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone())
    }

    async fn seal_plain(&self, _: &mut Tx, _: i64) -> Result<usize, Fault> {
        Ok(0)
    }
}

struct Seal(&'static str);

impl Operation for Seal {
    type Output = String;

    fn name(&self) -> &'static str {
        "test.seal"
    }

    async fn run(&self, tx: &mut Tx) -> Result<String, Fault> {
        seal_text(tx, &owner(self.0), place(), "Marie Curie").await
    }
}

struct KeyFor(&'static str);

impl Operation for KeyFor {
    type Output = String;

    fn name(&self) -> &'static str {
        "test.key"
    }

    async fn run(&self, tx: &mut Tx) -> Result<String, Fault> {
        Ok(key_for(tx, &owner(self.0)).await?.id().to_owned())
    }
}

struct Ask(&'static str);

impl Operation for Ask {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.ask"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        erasure_request(tx, &PartnerId::from_uuid(1), self.0, &[KIND]).await
    }
}

struct Look(&'static str);

impl Operation for Look {
    type Output = Erasure;

    fn name(&self) -> &'static str {
        "test.look"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Erasure, Fault> {
        let found = erasures_of(tx, &PartnerId::from_uuid(1), self.0)
            .await?
            .pop();
        found.ok_or_else(|| Fault::internal("it was asked for"))
    }
}

fn keys(t: &TestDb) -> ShopperKeys {
    t.keys.clone().expect("a key store")
}

mod security {
    use super::*;

    on_both_engines! {
        setup: setup();

        async fn personal_data_is_unreadable_once_its_key_is_destroyed(t: TestDb) {
            let (keys, needs) = (keys(&t), Needs::default());
            let eraser = Eraser::new(t.db.clone(), keys.clone(), needs.clone());
            let sealed = t.execute(Seal("ann")).await.expect("sealed");
            assert!(is_sealed(&sealed) && !sealed.contains("Marie"));
            let others = t.execute(Seal("bob")).await.expect("sealed");
            let text = open_text(&keys, place(), &sealed).await.expect("opened");
            assert_eq!(text.as_deref(), Some("Marie Curie"));
            assert_eq!(t.execute(KeyFor("ann")).await.ok(), t.execute(KeyFor("ann")).await.ok());

            t.execute(Ask("ann")).await.expect("asked");
            needs.say(Some(Deferral { why: "ORDER_OPEN", until: None }));
            eraser.once().await.expect("looked");
            let told = t.read(Look("ann")).await.expect("told");
            assert_eq!((told.progress, told.deferral.as_str()), (Progress::Pending, "ORDER_OPEN"));
            assert!(open_text(&keys, place(), &sealed).await.expect("opened").is_some());

            needs.say(None);
            t.clock.advance(std::time::Duration::from_secs(3_600));
            let before = t.execute(KeyFor("ann")).await.expect("a key");
            eraser.once().await.expect("erased");
            let told = t.read(Look("ann")).await.expect("told");
            assert_eq!((told.progress, told.erase_time), (Progress::Erased, Some(t.db.clock().now())));
            assert_eq!(open_text(&keys, place(), &sealed).await.expect("asked"), None);
            assert!(open_text(&keys, place(), &others).await.expect("opened").is_some());

            // What comes later has a key of its own, and is erased when that is asked for again.
            let after = t.execute(KeyFor("ann")).await.expect("a new key");
            assert_ne!(before, after);
            let again = t.execute(Seal("ann")).await.expect("sealed");
            t.execute(Ask("ann")).await.expect("asked again");
            eraser.once().await.expect("erased");
            assert_eq!(open_text(&keys, place(), &again).await.expect("asked"), None);
        }

        async fn personal_data_stays_unreadable_with_a_key_store_from_a_backup(t: TestDb) {
            let keys = keys(&t);
            let eraser = Eraser::new(t.db.clone(), keys.clone(), Needs::default());
            let sealed = t.execute(Seal("ann")).await.expect("sealed");
            // A backup of the key store from before, as rows.
            let backup = keys.db().read(&t.caller(), Rows).await.expect("rows");
            t.execute(Ask("ann")).await.expect("asked");
            eraser.once().await.expect("erased");
            assert_eq!(keys.db().read(&t.caller(), Rows).await.expect("rows"), Vec::new());
            keys.db().execute(&t.caller(), Restore(backup)).await.expect("restored");
            assert!(open_text(&keys, place(), &sealed).await.expect("opened").is_some(), "as the docs say");
            // The service starts, and knows better.
            eraser.replay().await.expect("destroyed again");
            assert_eq!(open_text(&keys, place(), &sealed).await.expect("asked"), None);
        }

        async fn personal_data_is_read_after_keys_were_wrapped_anew(t: TestDb) {
            let keys = keys(&t);
            let sealed = t.execute(Seal("ann")).await.expect("sealed");
            let before = keys.wraps().await.expect("counted");
            assert_eq!(before.len(), 1);
            assert_eq!(keys.rewrap(10).await.expect("looked"), 0);
            assert!(open_text(&keys, place(), &sealed).await.expect("opened").is_some());
        }

        async fn personal_data_does_not_open_in_another_row(t: TestDb) {
            let keys = keys(&t);
            let sealed = t.execute(Seal("ann")).await.expect("sealed");
            let elsewhere = Place::new("thing", "row-2", "text");
            let error = open_text(&keys, elsewhere, &sealed).await.expect_err("another row");
            assert!(!error.chain().contains("Marie"), "{error}");
        }
    }
}

type Row = (String, String, String, String, String, Vec<u8>, i64);

struct Rows;

impl Operation for Rows {
    type Output = Vec<Row>;

    fn name(&self) -> &'static str {
        "test.rows"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Row>, Fault> {
        Ok(store::sql!(
            tx,
            all(String, String, String, String, String, Vec<u8>, i64),
            "SELECT key_id, kind, partner_id, shopper_ref, wrapping_key, wrapped, create_time FROM data_key"
        )?)
    }
}

struct Restore(Vec<Row>);

impl Operation for Restore {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.restore"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        for (key_id, kind, partner, shopper, wrapping, wrapped, time) in &self.0 {
            store::sql!(
                tx,
                execute,
                "INSERT INTO data_key (key_id, kind, partner_id, shopper_ref, wrapping_key, wrapped, create_time) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                key_id,
                kind,
                partner,
                shopper,
                wrapping,
                wrapped.as_slice(),
                *time
            )?;
        }
        Ok(())
    }
}
