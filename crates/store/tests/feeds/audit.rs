//! The audit chain tells of every change behind its back.

use std::sync::Arc;

use kit::caller::Caller;
use kit::errors::Fault;
use store::audit::{Verdict, verify};
use store::{Db, Operation, Tx, sql};

use crate::support::*;
use testkit::{TestDb, on_both_engines};

const ROWS: i64 = 12;

on_both_engines! {
    setup: patient();

    async fn a_chain_that_nobody_touched_holds(t: TestDb) {
        assert_eq!(verify(&t.db, &system(), 1, None).await.expect("a verdict"), Verdict::Intact { rows: 0, last_hash: vec![] });
        fill(&t.db).await;
        let whole = verify(&t.db, &system(), 1, None).await.expect("a verdict");
        let Verdict::Intact { rows, last_hash } = whole else { panic!("{whole:?}") };
        assert_eq!((rows, last_hash.len()), (ROWS, 32));
        for (from, to, rows) in [(5, None, ROWS - 4), (1, Some(3), 3), (4, Some(4), 1), (9, Some(100), ROWS - 8)] {
            let part = verify(&t.db, &system(), from, to).await.expect("a verdict");
            assert!(matches!(part, Verdict::Intact { rows: found, .. } if found == rows), "{from} {to:?} {part:?}");
        }
    }

    async fn a_row_tells_who_did_what_for_whom(t: TestDb) {
        let caller = Caller {
            on_behalf_of: Some("retailer:ann".into()),
            request_id: "r-1".into(),
            issuer: "the-issuer".into(),
            ..partner_caller(1)
        };
        t.db.execute(&caller, Audited { rows: vec![("listing.approve", "listing_1"), ("listing.end", "listing_2")] })
            .await.expect("a unit");
        let expected = |action: &str, resource: &str| -> Vec<String> {
            ["system/test", "the-issuer", "partner", "retailer:ann", action, resource, "done", "r-1"]
                .map(str::to_owned).to_vec()
        };
        let rows = t.db.read(&system(), ReadAll).await.expect("rows");
        assert_eq!(rows, [expected("listing.approve", "listing_1"), expected("listing.end", "listing_2")]);
    }

    async fn work_for_many_callers_names_each(t: TestDb) {
        t.db.execute(&system(), ForMany).await.expect("a unit");
        let rows = t.db.read(&system(), ReadAll).await.expect("rows");
        let whos: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(whos, ["ann", "bob"]);
        let traces: Vec<String> = everything(&t.db).await.into_iter().map(|entry| entry.traceparent).collect();
        assert_eq!(traces, ["trace-ann", "trace-bob"]);
    }

    async fn any_change_to_any_row_is_found_where_it_is(t: TestDb) {
        fill(&t.db).await;
        for position in 1..=ROWS {
            for change in CHANGES {
                t.db.execute(&system(), Tamper::Save).await.expect("saving");
                t.db.execute(&system(), Tamper::Change(position, change)).await.expect("tampering");
                let verdict = verify(&t.db, &system(), 1, None).await.expect("a verdict");
                let Verdict::Broken { position: found, .. } = verdict else {
                    panic!("{change} of row {position} was not noticed");
                };
                // A row that is put in at the end is noticed behind the last.
                let expected = if change == "insert" { ROWS + 1 } else { position };
                assert_eq!(found, expected, "{change}");
                t.db.execute(&system(), Tamper::Restore).await.expect("restoring");
            }
        }
        assert!(matches!(verify(&t.db, &system(), 1, None).await, Ok(Verdict::Intact { .. })));
    }

    async fn a_row_changed_with_its_own_hash_is_found_by_the_next(t: TestDb) {
        fill(&t.db).await;
        // The best a forger can do without writing the rest of the chain anew: the next link gives it away.
        t.db.execute(&system(), Tamper::Change(7, "forge")).await.expect("tampering");
        let verdict = verify(&t.db, &system(), 1, None).await.expect("a verdict");
        assert!(matches!(verdict, Verdict::Broken { position: 7 | 8, .. }), "{verdict:?}");
    }

    async fn the_chain_holds_under_concurrent_writers(t: TestDb) {
        let writers: Vec<_> = (0..8).map(|_| {
            let db = t.db.clone();
            kit::spawn("test", async move {
                for _ in 0..10 {
                    db.execute(&system(), Audited { rows: vec![("a", "1"), ("b", "2")] }).await.expect("a unit");
                }
            })
        }).collect();
        for writer in writers {
            writer.await.expect("a writer");
        }
        let verdict = verify(&t.db, &system(), 1, None).await.expect("a verdict");
        assert!(matches!(verdict, Verdict::Intact { rows: 160, .. }), "{verdict:?}");
    }
}

async fn fill(db: &Db) {
    for row in 0..ROWS {
        let resource = ["thing_1", "thing_2", "ünï \" ' \\ \n"][row as usize % 3];
        db.execute(
            &system(),
            Audited {
                rows: vec![("test.act", resource)],
            },
        )
        .await
        .expect("a unit");
    }
}

struct Audited {
    rows: Vec<(&'static str, &'static str)>,
}

impl Operation for Audited {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.audited"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        for (action, resource) in &self.rows {
            tx.audit(action, *resource, "done");
        }
        Ok(())
    }
}

struct ForMany;

impl Operation for ForMany {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.for_many"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        for name in ["ann", "bob"] {
            let caller = Caller {
                subject: name.into(),
                traceparent: format!("trace-{name}"),
                ..system()
            };
            tx.act_for(Arc::new(caller));
            tx.audit("test.act", "thing", "done");
            tx.publish(entry(None, name, 1));
        }
        Ok(())
    }
}

struct ReadAll;

impl Operation for ReadAll {
    type Output = Vec<Vec<String>>;

    fn name(&self) -> &'static str {
        "test.read_all"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        type Row = (
            String,
            String,
            String,
            String,
            String,
            String,
            String,
            String,
        );
        let rows = sql!(
            tx,
            all Row,
            "SELECT who, issuer, actor, on_behalf_of, action, resource_id, outcome, request_id FROM audit \
             ORDER BY position"
        )?;
        Ok(rows
            .into_iter()
            .map(|(a, b, c, d, e, f, g, h)| vec![a, b, c, d, e, f, g, h])
            .collect())
    }
}

const CHANGES: [&str; 15] = [
    "at",
    "who",
    "issuer",
    "actor",
    "on_behalf_of",
    "action",
    "resource_id",
    "outcome",
    "request_id",
    "prev_hash",
    "hash",
    "move",
    "swap_fields",
    "delete",
    "insert",
];

/// What somebody with the database's password could do.
enum Tamper {
    Save,
    Change(i64, &'static str),
    Restore,
}

impl Operation for Tamper {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.tamper"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        match self {
            Tamper::Save => sql!(tx, execute, "CREATE TABLE saved AS SELECT * FROM audit")?,
            Tamper::Change(position, change) => self::change(tx, *position, change).await?,
            Tamper::Restore => {
                sql!(tx, execute, "DELETE FROM audit")?;
                sql!(tx, execute, "INSERT INTO audit SELECT * FROM saved")?;
                sql!(tx, execute, "DROP TABLE saved")?
            }
        };
        Ok(())
    }
}

async fn change(tx: &mut Tx, p: i64, change: &str) -> Result<u64, Fault> {
    Ok(match change {
        "at" => sql!(
            tx,
            execute,
            "UPDATE audit SET at = at + 1 WHERE position = $1",
            p
        )?,
        "who" => sql!(
            tx,
            execute,
            "UPDATE audit SET who = 'mallory' WHERE position = $1",
            p
        )?,
        "issuer" => sql!(
            tx,
            execute,
            "UPDATE audit SET issuer = 'x' WHERE position = $1",
            p
        )?,
        "actor" => sql!(
            tx,
            execute,
            "UPDATE audit SET actor = 'x' WHERE position = $1",
            p
        )?,
        "on_behalf_of" => sql!(
            tx,
            execute,
            "UPDATE audit SET on_behalf_of = 'x' WHERE position = $1",
            p
        )?,
        "action" => sql!(
            tx,
            execute,
            "UPDATE audit SET action = 'x' WHERE position = $1",
            p
        )?,
        "resource_id" => sql!(
            tx,
            execute,
            "UPDATE audit SET resource_id = 'x' WHERE position = $1",
            p
        )?,
        "outcome" => sql!(
            tx,
            execute,
            "UPDATE audit SET outcome = 'x' WHERE position = $1",
            p
        )?,
        "request_id" => sql!(
            tx,
            execute,
            "UPDATE audit SET request_id = 'x' WHERE position = $1",
            p
        )?,
        "prev_hash" => sql!(
            tx,
            execute,
            "UPDATE audit SET prev_hash = $2 WHERE position = $1",
            p,
            vec![1u8; 32]
        )?,
        "hash" => sql!(
            tx,
            execute,
            "UPDATE audit SET hash = $2 WHERE position = $1",
            p,
            vec![1u8; 32]
        )?,
        "move" => sql!(
            tx,
            execute,
            "UPDATE audit SET position = position + 1000 WHERE position = $1",
            p
        )?,
        "swap_fields" => sql!(
            tx,
            execute,
            "UPDATE audit SET action = action || outcome, outcome = '' WHERE position = $1",
            p
        )?,
        "delete" => sql!(tx, execute, "DELETE FROM audit WHERE position = $1", p)?,
        "forge" => sql!(
            tx,
            execute,
            "UPDATE audit SET outcome = 'x', hash = prev_hash WHERE position = $1",
            p
        )?,
        _ => sql!(
            tx,
            execute,
            "INSERT INTO audit SELECT position + 100, at, who, issuer, actor, on_behalf_of, action, resource_id, \
             outcome, request_id, prev_hash, hash FROM audit WHERE position = $1",
            p
        )?,
    })
}
