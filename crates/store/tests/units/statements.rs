//! What can be bound and read, one at a time and in bulk.

use contracts::id::OrderId;
use futures::future::BoxFuture;
use kit::errors::Fault;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use store::error::Violation;
use store::{Operation, StoreError, Tx, bulk, sql};
use testkit::{TestDb, on_both_engines, op};

use crate::schema::setup;

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
struct Sample {
    id: String,
    number: Option<i64>,
    flag: Option<bool>,
    words: Option<String>,
    bytes: Option<Vec<u8>>,
}

impl Sample {
    fn new(id: &str) -> Self {
        Sample {
            id: id.into(),
            number: None,
            flag: None,
            words: None,
            bytes: None,
        }
    }
}

const ALL: &str = "SELECT id, number, flag, words, bytes FROM sample ORDER BY id";

fn awkward() -> Vec<Sample> {
    let texts = [
        "",
        " ",
        "it's \"so\"",
        "$1",
        "日本語 ñ 🦀 e\u{301}",
        "\\ \n \t \u{1} \u{7f}",
        "null",
        "[1,2]",
    ];
    let numbers = [
        0,
        1,
        -1,
        i64::MAX,
        i64::MIN,
        1 << 53,
        (1 << 53) + 1,
        -(1 << 53) - 1,
    ];
    let bytes: [&[u8]; 8] = [
        b"",
        b"\0",
        b"\0\xff\xfe",
        &[255; 100],
        b"text",
        b"'",
        b"\\x00",
        &[7],
    ];
    let mut rows = vec![Sample::new("all null")];
    for at in 0..8 {
        rows.push(Sample {
            id: format!("row {at}"),
            number: Some(numbers[at]),
            flag: Some(at % 2 == 0),
            words: Some(texts[at].into()),
            bytes: Some(bytes[at].into()),
        });
    }
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    rows
}

struct InsertEach(Vec<Sample>);

impl Operation for InsertEach {
    type Output = Vec<Sample>;

    fn name(&self) -> &'static str {
        "insert-each"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Sample>, Fault> {
        for row in &self.0 {
            let touched = sql!(
                tx,
                execute,
                "INSERT INTO sample (id, number, flag, words, bytes) VALUES ($1, $2, $3, $4, $5)",
                &row.id,
                row.number,
                row.flag,
                &row.words,
                row.bytes.clone(),
            )?;
            assert_eq!(touched, 1);
        }
        Ok(sql!(tx, all Sample, ALL)?)
    }
}

struct InsertAtOnce(Vec<Sample>);

impl Operation for InsertAtOnce {
    type Output = Vec<Sample>;

    fn name(&self) -> &'static str {
        "insert-at-once"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Sample>, Fault> {
        let ids: Vec<&str> = self.0.iter().map(|row| row.id.as_str()).collect();
        let numbers: Vec<Option<i64>> = self.0.iter().map(|row| row.number).collect();
        let flags: Vec<Option<bool>> = self.0.iter().map(|row| row.flag).collect();
        let words: Vec<Option<String>> = self.0.iter().map(|row| row.words.clone()).collect();
        let bytes: Vec<Option<Vec<u8>>> = self.0.iter().map(|row| row.bytes.clone()).collect();
        let touched = bulk!(
            tx,
            execute,
            postgres: "INSERT INTO sample (id, number, flag, words, bytes)
                       SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BOOLEAN[], $4::TEXT[], $5::BYTEA[])",
            sqlite: "INSERT INTO sample (id, number, flag, words, bytes)
                     SELECT value->>0, value->>1, value->>2, value->>3, unhex(value->>4) FROM json_each($1)",
            columns: [ids, &numbers, flags, words.as_slice(), bytes],
        )?;
        assert_eq!(touched, self.0.len() as u64);
        Ok(sql!(tx, all Sample, ALL)?)
    }
}

on_both_engines! {
    setup: setup();

    async fn one_by_one_every_value_comes_back(t: TestDb) {
        assert_eq!(t.execute(InsertEach(awkward())).await.expect("inserted"), awkward());
    }

    async fn in_bulk_every_value_comes_back(t: TestDb) {
        assert_eq!(t.execute(InsertAtOnce(awkward())).await.expect("inserted"), awkward());
    }

    async fn an_empty_bulk_is_fine(t: TestDb) {
        assert_eq!(t.execute(InsertAtOnce(Vec::new())).await.expect("inserted"), Vec::new());
    }

    async fn ten_thousand_rows_go_in_at_once(t: TestDb) {
        let rows: Vec<_> = (100..10_100)
            .map(|at| Sample { number: Some(at), words: Some(format!("w{at}")), ..Sample::new(&format!("{at:05}")) })
            .collect();
        assert_eq!(t.execute(InsertAtOnce(rows.clone())).await.expect("inserted"), rows);
    }

    async fn random_rows_come_back_either_way(t: TestDb) {
        for (round, rows) in random_rows(20).into_iter().enumerate() {
            let clear = || op("clear", |tx| Box::pin(async move { Ok(sql!(tx, execute, "DELETE FROM sample")?) }));
            t.execute(clear()).await.expect("cleared");
            assert_eq!(t.execute(InsertEach(rows.clone())).await.expect("inserted"), rows, "round {round}");
            t.execute(clear()).await.expect("cleared");
            assert_eq!(t.execute(InsertAtOnce(rows.clone())).await.expect("inserted"), rows, "round {round}");
        }
    }

    async fn every_form_answers_as_it_says(t: TestDb) {
        t.execute(InsertEach(vec![Sample::new("a"), Sample::new("b")])).await.expect("inserted");
        t.execute(Forms).await.expect("forms");
        let missing = op("missing", |tx| {
            Box::pin(async move { Ok(sql!(tx, one (String,), "SELECT id FROM sample WHERE id = 'none'")?) })
        });
        assert!(matches!(t.execute(missing).await, Err(Fault::Internal(_))));
    }

    async fn constraints_are_told_apart(t: TestDb) {
        t.execute(InsertEach(vec![Sample::new("a")])).await.expect("inserted");
        let unique = failure(&t, |tx| {
            Box::pin(async move { sql!(tx, execute, "INSERT INTO sample (id) VALUES ('a')").map(drop) })
        });
        let unique = unique.await;
        assert!(unique.is_unique() && !unique.is_check(), "{unique}");
        let check = failure(&t, |tx| {
            Box::pin(async move { sql!(tx, execute, "INSERT INTO sample (id, number) VALUES ('b', 13)").map(drop) })
        });
        let check = check.await;
        assert_eq!((check.is_check(), check.constraint()), (true, Some("sample_number")), "{check}");
        let null = failure(&t, |tx| {
            Box::pin(async move { sql!(tx, execute, "INSERT INTO effect (id) VALUES ('b')").map(drop) })
        });
        assert_eq!(null.await.violation(), Some(Violation::NotNull));
    }

    async fn a_failure_never_quotes_the_row(t: TestDb) {
        let row = || Sample { words: Some("a shopper's secret".into()), number: Some(13), ..Sample::new("a") };
        for fault in [
            t.execute(InsertEach(vec![row()])).await.expect_err("the check"),
            t.execute(InsertAtOnce(vec![row()])).await.expect_err("the check"),
        ] {
            let shown = format!("{fault:?} {fault} {}", fault.chain());
            assert!(shown.contains("sample_number"), "{shown}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    async fn nul_is_refused_before_it_is_sent(t: TestDb) {
        let row = || vec![Sample { words: Some("a\0b".into()), ..Sample::new("a") }];
        for answer in [t.execute(InsertEach(row())).await, t.execute(InsertAtOnce(row())).await] {
            let fault = answer.expect_err("a NUL");
            assert!(fault.chain().contains("NUL"), "{}", fault.chain());
        }
        assert_eq!(t.execute(InsertEach(vec![])).await.expect("read"), vec![]);
    }

    async fn columns_of_different_length_are_refused(t: TestDb) {
        let error = failure(&t, |tx| {
            Box::pin(async move {
                bulk!(
                    tx,
                    execute,
                    postgres: "INSERT INTO sample (id, number) SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[])",
                    sqlite: "INSERT INTO sample (id, number) SELECT value->>0, value->>1 FROM json_each($1)",
                    columns: [vec!["a", "b"], vec![1]],
                )
                .map(drop)
            })
        });
        assert!(error.await.to_string().contains("differ in length"));
    }

    async fn scalars_follow_the_columns(t: TestDb) {
        t.execute(Also).await.expect("also");
    }

    async fn ids_times_and_small_integers_bind(t: TestDb) {
        t.execute(Bindings).await.expect("bindings");
    }
}

struct Forms;

impl Operation for Forms {
    type Output = ();

    fn name(&self) -> &'static str {
        "forms"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let (id,) = sql!(tx, one(String,), "SELECT id FROM sample WHERE id = $1", "a")?;
        assert_eq!(id, "a");
        let none = sql!(
            tx,
            optional(String,),
            "SELECT id FROM sample WHERE id = $1",
            "none"
        )?;
        assert_eq!(none, None);
        assert_eq!(
            sql!(tx, all(String,), "SELECT id FROM sample ORDER BY id")?.len(),
            2
        );
        // One parameter in two places.
        let touched = sql!(
            tx,
            execute,
            "UPDATE sample SET number = $1, words = CAST($1 AS TEXT)",
            5i64
        )?;
        assert_eq!(touched, 2);
        let back = sql!(tx, all Sample, "DELETE FROM sample WHERE number = $1 RETURNING *", 5i64)?;
        assert_eq!(
            back.iter()
                .filter(|row| row.words.as_deref() == Some("5"))
                .count(),
            2
        );
        Ok(())
    }
}

struct Also;

impl Operation for Also {
    type Output = ();

    fn name(&self) -> &'static str {
        "also"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let rows = bulk!(
            tx,
            all Sample,
            postgres: "INSERT INTO sample (id, number, words, flag)
                       SELECT u.*, $3, $4 FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS u RETURNING *",
            sqlite: "INSERT INTO sample (id, number, words, flag)
                     SELECT value->>0, value->>1, $2, $3 FROM json_each($1) RETURNING *",
            columns: [["a", "b"].as_slice(), vec![1, 2]],
            also: ["all", true],
        )?;
        assert_eq!(rows.len(), 2);
        assert!(
            rows.iter()
                .all(|row| row.words.as_deref() == Some("all") && row.flag == Some(true))
        );
        let found = bulk!(
            tx,
            optional (String,),
            postgres: "SELECT id FROM sample JOIN UNNEST($1::BIGINT[]) AS u (number) USING (number)",
            sqlite: "SELECT sample.id FROM sample JOIN json_each($1) ON number = value->>0",
            columns: [vec![2i64]],
        )?;
        assert_eq!(found, Some(("b".to_owned(),)));
        let count = bulk!(
            tx,
            one (i64,),
            postgres: "SELECT COUNT(*) FROM UNNEST($1::BOOLEAN[]) AS u (flag) WHERE flag",
            sqlite: "SELECT COUNT(*) FROM json_each($1) WHERE value->>0",
            columns: [vec![true, false, true]],
        )?;
        assert_eq!(count, (2,));
        Ok(())
    }
}

struct Bindings;

impl Operation for Bindings {
    type Output = ();

    fn name(&self) -> &'static str {
        "bindings"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let id = OrderId::from_uuid(tx.ids().next());
        const TEXT: &str = "INSERT INTO sample (id, number, bytes, words) VALUES ($1, $2, $3, $4)";
        // A bind may ask the transaction itself.
        sql!(tx, execute, TEXT, id, tx.now(), &[7u8; 32], None::<&str>)?;
        let row = sql!(tx, one Sample, "SELECT * FROM sample WHERE id = $1", &id)?;
        assert_eq!(
            (row.number, row.bytes),
            (Some(tx.now().0), Some(vec![7; 32]))
        );
        let found = bulk!(
            tx,
            all (String,),
            postgres: "SELECT id FROM sample WHERE id = ANY($1::TEXT[])",
            sqlite: "SELECT id FROM sample WHERE id IN (SELECT value->>0 FROM json_each($1))",
            columns: [vec![id, OrderId::from_uuid(tx.ids().next())]],
        )?;
        assert_eq!(found, [(id.to_string(),)]);
        sql!(
            tx,
            execute,
            "UPDATE sample SET number = $1 WHERE number > $2",
            7i32,
            8u32
        )?;
        Ok(())
    }
}

/// Runs a statement that fails, and gives its error.
async fn failure(
    t: &TestDb,
    work: impl for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<(), StoreError>> + Send + Sync + 'static,
) -> StoreError {
    let failing = Failing(work);
    t.execute(failing)
        .await
        .expect("the error of the statement")
}

struct Failing<F>(F);

impl<F> Operation for Failing<F>
where
    F: for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<(), StoreError>> + Send + Sync + 'static,
{
    type Output = StoreError;

    fn name(&self) -> &'static str {
        "failing"
    }

    async fn run(&self, tx: &mut Tx) -> Result<StoreError, Fault> {
        let savepoint = tx.savepoint().await?;
        let error = (self.0)(tx).await.expect_err("an error");
        tx.rollback_to(savepoint).await?;
        Ok(error)
    }
}

/// Sets of rows that follow from a fixed seed.
fn random_rows(sets: usize) -> Vec<Vec<Sample>> {
    let number = prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
        .prop_filter("the check", |n| *n != 13);
    let words = proptest::collection::vec(any::<char>().prop_filter("NUL", |c| *c != '\0'), 0..20)
        .prop_map(|chars| chars.into_iter().collect::<String>());
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    let row = (
        proptest::option::of(number),
        proptest::option::of(any::<bool>()),
        proptest::option::of(words),
        proptest::option::of(bytes),
    );
    let strategy = proptest::collection::vec(row, 0..12);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut set = || {
        let rows = strategy.new_tree(&mut runner).expect("rows").current();
        let row = |(at, (number, flag, words, bytes))| Sample {
            id: format!("{at:02}"),
            number,
            flag,
            words,
            bytes,
        };
        rows.into_iter().enumerate().map(row).collect()
    };
    (0..sets).map(|_| set()).collect()
}
