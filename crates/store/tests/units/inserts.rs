//! Many new rows at once.

use std::sync::atomic::{AtomicU32, Ordering};

use kit::errors::Fault;
use store::macros::same;
use store::{Operation, Tx, insert, sql};
use testkit::{TestDb, on_both_engines};

use crate::schema::setup;

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
struct Sample {
    id: String,
    number: Option<i64>,
    flag: Option<bool>,
    words: Option<String>,
    bytes: Option<Vec<u8>>,
}

/// As many samples as wanted, with every awkward value and NULL among them.
fn samples(rows: usize) -> Vec<Sample> {
    let texts = [
        "",
        "it's \"so\"",
        "$1 ?",
        "日本語 🦀",
        "\\ \n \u{1}",
        "null",
        "[1,2]",
    ];
    let sample = |at: usize| Sample {
        id: format!("row {at:05}"),
        number: (!at.is_multiple_of(3)).then_some([0, -1, i64::MAX, i64::MIN, 1 << 53][at % 5]),
        flag: (!at.is_multiple_of(4)).then_some(at.is_multiple_of(2)),
        words: (!at.is_multiple_of(5)).then(|| texts[at % texts.len()].to_owned()),
        bytes: (!at.is_multiple_of(6)).then(|| vec![0, 255, u8::try_from(at % 256).unwrap_or(0)]),
    };
    (0..rows).map(sample).collect()
}

struct Insert(Vec<Sample>);

impl Operation for Insert {
    type Output = Vec<Sample>;

    fn name(&self) -> &'static str {
        "insert-rows"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Sample>, Fault> {
        let rows = &self.0;
        insert!(tx, "sample", {
            id: rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(),
            number: rows.iter().map(|row| row.number).collect::<Vec<_>>(),
            flag: rows.iter().map(|row| row.flag).collect::<Vec<_>>(),
            words: rows.iter().map(|row| row.words.clone()).collect::<Vec<_>>(),
            bytes: rows.iter().map(|row| row.bytes.clone()).collect::<Vec<_>>(),
        })?;
        Ok(sql!(tx, all Sample, "SELECT id, number, flag, words, bytes FROM sample ORDER BY id")?)
    }
}

/// Rows that share all but their id.
struct Alike(usize);

impl Operation for Alike {
    type Output = i64;

    fn name(&self) -> &'static str {
        "insert-alike"
    }

    async fn run(&self, tx: &mut Tx) -> Result<i64, Fault> {
        let ids: Vec<String> = (0..self.0).map(|at| format!("alike {at:05}")).collect();
        insert!(tx, "sample", {
            id: ids, number: same(7, self.0), flag: same(true, self.0), words: same("w", self.0),
            bytes: same(None::<Vec<u8>>, self.0),
        })?;
        let (count,) = sql!(
            tx,
            one(i64,),
            "SELECT COUNT(*) FROM sample WHERE number = 7 AND flag AND words = 'w' AND bytes IS NULL"
        )?;
        Ok(count)
    }
}

/// Writes a row that is there already in its first run.
struct Twin {
    runs: AtomicU32,
}

impl Operation for Twin {
    type Output = u32;

    fn name(&self) -> &'static str {
        "insert-twin"
    }

    async fn run(&self, tx: &mut Tx) -> Result<u32, Fault> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        let ids = if run == 0 {
            vec!["new", "row 00001"]
        } else {
            vec!["new"]
        };
        insert!(tx, "sample", { id: ids })?;
        Ok(run)
    }
}

/// Columns of different length.
struct Uneven;

impl Operation for Uneven {
    type Output = ();

    fn name(&self) -> &'static str {
        "insert-uneven"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        Ok(insert!(tx, "sample", { id: vec!["a", "b"], number: vec![1] })?)
    }
}

on_both_engines! {
    setup: setup();

    async fn every_row_comes_back_however_many_there_are(t: TestDb) {
        // Around the lengths that a statement may have on SQLite.
        for rows in [0, 1, 7, 8, 9, 39, 127, 128, 129, 297, 1_000] {
            let clear = testkit::op("clear", |tx| Box::pin(async move { Ok(sql!(tx, execute, "DELETE FROM sample")?) }));
            t.execute(clear).await.expect("cleared");
            assert_eq!(t.execute(Insert(samples(rows))).await.expect("inserted"), samples(rows), "{rows} rows");
        }
    }

    async fn what_rows_share_is_in_all_of_them(t: TestDb) {
        for rows in [1, 40, 200] {
            let clear = testkit::op("clear", |tx| Box::pin(async move { Ok(sql!(tx, execute, "DELETE FROM sample")?) }));
            t.execute(clear).await.expect("cleared");
            assert_eq!(t.execute(Alike(rows)).await.expect("inserted"), rows as i64);
        }
    }

    async fn a_key_that_is_taken_makes_the_unit_run_again(t: TestDb) {
        t.execute(Insert(samples(3))).await.expect("inserted");
        assert_eq!(t.execute(Twin { runs: AtomicU32::new(0) }).await.expect("the second run"), 1);
        assert_eq!(t.execute(Insert(Vec::new())).await.expect("read").len(), 4);
    }

    async fn a_row_that_breaks_a_rule_fails_all(t: TestDb) {
        let mut rows = samples(150);
        rows[149].number = Some(13);
        let fault = t.execute(Insert(rows)).await.expect_err("the check");
        assert!(fault.chain().contains("sample_number"), "{}", fault.chain());
        let mut rows = samples(150);
        rows[149].words = Some("a\0b".into());
        let fault = t.execute(Insert(rows)).await.expect_err("a NUL");
        assert!(fault.chain().contains("NUL"), "{}", fault.chain());
        let fault = t.execute(Uneven).await.expect_err("two ids, one number");
        assert!(fault.chain().contains("has 1 rows"), "{}", fault.chain());
        assert_eq!(t.execute(Insert(Vec::new())).await.expect("read"), Vec::new());
    }
}
