//! Whoever can write to a database, and knows how the hashes of its audit trail are made, is found out all the same.

use std::path::Path;

use kit::caller::Caller;
use kit::config::Env;
use kit::errors::Fault;
use kit::ids::SeededIds;
use kit::lifecycle::Lifecycle;
use kit::telemetry::Metrics;
use sha2::{Digest, Sha256};
use store::{Db, Operation, Tx, sql};
use tempfile::TempDir;
use testkit::{Setup, TestDb, on_both_engines};

use super::*;
use crate::config::Flags;
use crate::suite::Suite;

/// Rows of the trail, and after which of them a checkpoint was made.
const ROWS: usize = 30;
const CHECKPOINTS: [usize; 3] = [7, 15, 24];

fn setup() -> Setup {
    Setup::new().migrations(order::migrations())
}

/// A trail with checkpoints, and whoever verifies it.
struct Scene {
    config: VitrineConfig,
    db: Db,
    clock: SharedClock,
    ids: SharedIds,
    folder: TempDir,
}

impl Scene {
    async fn new(t: &TestDb) -> Scene {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let flags = Flags {
            data_dir: Some(folder.path().join("data")),
            ..Flags::default()
        };
        let mut config = VitrineConfig::load(None, &Env::empty(), &flags).expect("the defaults");
        config.audit.checkpoint_dir = Some(folder.path().join("checkpoints"));
        config.database.order = t.config().clone();
        if config.database.order.url.starts_with("postgres") {
            config
                .database
                .order
                .schema
                .get_or_insert_with(|| "public".into());
        }
        std::fs::create_dir_all(folder.path().join("checkpoints")).expect("a folder");
        let db = open(&config, Service::Order).await.expect("the database");
        Scene {
            config,
            db,
            clock: t.clock.clone(),
            ids: t.ids.clone(),
            folder,
        }
    }

    /// The same with all rows written and checkpoints made on the way.
    async fn whole(t: &TestDb) -> Scene {
        let scene = Scene::new(t).await;
        let exporter = scene.exporter();
        for row in 1..=ROWS {
            scene.write(1).await;
            if CHECKPOINTS.contains(&row) {
                let made = exporter.make().await.expect("made");
                assert!(matches!(made, Made::Checkpoint(_)), "{made:?}");
            }
        }
        scene
    }

    fn exporter(&self) -> Exporter {
        let key = signing_key(&self.config).expect("a key");
        Exporter::new(
            self.db.clone(),
            self.checkpoints(),
            key,
            self.clock.clone(),
            &self.ids,
        )
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.path().join("checkpoints")
    }

    async fn write(&self, rows: usize) {
        self.db
            .execute(&Caller::system("test"), Audited(rows))
            .await
            .expect("a unit");
    }

    async fn rows(&self) -> Vec<Row> {
        self.db
            .read(&Caller::system("test"), ReadAll)
            .await
            .expect("rows")
    }

    /// Puts the table into this state, and the head's record of it.
    async fn put(&self, rows: &[Row], head: (i64, Vec<u8>)) {
        let rows = rows.to_vec();
        self.db
            .execute(&Caller::system("mallory"), Put { rows, head })
            .await
            .expect("written");
    }

    /// The same with a head that fits.
    async fn put_whole(&self, rows: &[Row]) {
        let head = rows
            .last()
            .map_or((0, Vec::new()), |row| (row.0, row.11.clone()));
        self.put(rows, head).await;
    }

    async fn verify(&self, keys: &[PathBuf]) -> serde_json::Value {
        let asked = Asked {
            services: vec![Service::Order],
            keys: keys.to_vec(),
            json: true,
            ..Asked::default()
        };
        let found = verified(&self.config, &asked).await.expect("a verdict");
        let value: serde_json::Value = serde_json::from_str(&found.text).expect("JSON");
        assert_eq!(value["intact"], found.well);
        value["services"][0].clone()
    }

    async fn problems(&self) -> String {
        let found = self.verify(&[]).await;
        assert_eq!(
            found["intact"],
            found["problems"].as_array().is_some_and(Vec::is_empty),
            "{found}"
        );
        found["problems"].to_string()
    }
}

type Row = (
    i64,
    i64,
    String,
    String,
    String,
    String,
    String,
    String,
    String,
    String,
    Vec<u8>,
    Vec<u8>,
);

/// What is done to the rows.
type Change = fn(&mut Vec<Row>);

struct Audited(usize);

impl Operation for Audited {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.audited"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        for row in 0..self.0 {
            tx.audit("test.act", format!("thing_{row}"), "done");
        }
        Ok(())
    }
}

struct ReadAll;

impl Operation for ReadAll {
    type Output = Vec<Row>;

    fn name(&self) -> &'static str {
        "test.read_all"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Row>, Fault> {
        Ok(sql!(
            tx,
            all Row,
            "SELECT position, at, who, issuer, actor, on_behalf_of, action, resource_id, outcome, request_id, prev_hash, \
             hash FROM audit ORDER BY position"
        )?)
    }
}

/// What somebody with the database's password can do.
struct Put {
    rows: Vec<Row>,
    head: (i64, Vec<u8>),
}

impl Operation for Put {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.put"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        sql!(tx, execute, "DELETE FROM audit")?;
        for row in &self.rows {
            sql!(
                tx,
                execute,
                "INSERT INTO audit (position, at, who, issuer, actor, on_behalf_of, action, resource_id, outcome, \
                 request_id, prev_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                row.0,
                row.1,
                &row.2,
                &row.3,
                &row.4,
                &row.5,
                &row.6,
                &row.7,
                &row.8,
                &row.9,
                row.10.as_slice(),
                row.11.as_slice()
            )?;
        }
        sql!(
            tx,
            execute,
            "UPDATE feed_head SET position = $1, hash = $2 WHERE scope = 'audit'",
            self.head.0,
            self.head.1.as_slice()
        )?;
        Ok(())
    }
}

/// How a row's hash is made, written a second time.
fn link(prev: &[u8], row: &Row) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(prev);
    hash.update(row.0.to_be_bytes());
    hash.update(row.1.to_be_bytes());
    for text in [
        &row.2, &row.3, &row.4, &row.5, &row.6, &row.7, &row.8, &row.9,
    ] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().to_vec()
}

/// Numbers and hashes everything anew, as the best of forgers would.
fn rewrite(rows: &mut [Row]) {
    let mut prev = Vec::new();
    for (at, row) in rows.iter_mut().enumerate() {
        row.0 = at as i64 + 1;
        row.10 = std::mem::take(&mut prev);
        row.11 = link(&row.10, row);
        prev.clone_from(&row.11);
    }
}

/// Whether the rows are a chain, by its definition.
fn is_chain(rows: &[Row]) -> bool {
    let mut prev: &[u8] = &[];
    for (at, row) in rows.iter().enumerate() {
        if row.0 != at as i64 + 1 || row.10 != prev || row.11 != link(&row.10, row) {
            return false;
        }
        prev = &row.11;
    }
    true
}

/// One random thing that a forger could do to the rows; the positions stay different from one another.
fn tampered(rows: &[Row], random: &dyn kit::ids::IdSource) -> (Vec<Row>, (i64, Vec<u8>)) {
    let mut rows = rows.to_vec();
    let pick = |below: usize| (random.random_u64() % below as u64) as usize;
    for _ in 0..=pick(2) {
        let at = pick(rows.len());
        match pick(8) {
            0 => rows[at].2 = "mallory".into(),
            1 => rows[at].1 += 1,
            2 => {
                (rows[at].6, rows[at].8) = (format!("{}{}", rows[at].6, rows[at].8), String::new())
            }
            3 => drop(rows.remove(at)),
            4 => {
                let mut forged = rows[at].clone();
                forged.7 = "order_of_nobody".into();
                rows.insert(at, forged);
                for (number, row) in rows.iter_mut().enumerate() {
                    row.0 = number as i64 + 1;
                }
            }
            5 => {
                let other = pick(rows.len());
                let (a, b) = (rows[at].0, rows[other].0);
                rows.swap(at, other);
                (rows[at].0, rows[other].0) = (a, b);
            }
            6 => rows.truncate(at.max(1)),
            _ => rows[at].11[0] ^= 1,
        }
    }
    if pick(2) == 0 {
        rewrite(&mut rows);
    }
    let last = rows
        .last()
        .map_or((0, Vec::new()), |row| (row.0, row.11.clone()));
    let head = match pick(4) {
        0 => (last.0, vec![7; 32]),
        1 => (ROWS as i64, last.1),
        _ => last,
    };
    (rows, head)
}

on_both_engines! {
    setup: setup();

    async fn audit_trails_that_nobody_touched_hold_and_are_vouched_for(t: TestDb) {
        let scene = Scene::whole(&t).await;
        let found = scene.verify(&[]).await;
        assert_eq!(found["intact"], true, "{found}");
        assert_eq!((&found["rows"], &found["checkpoints"], &found["checkpoints_met"]), (&30.into(), &3.into(), &3.into()));
        assert_eq!(found["vouched_position"], 24);
        let asked = Asked { services: vec![Service::Order], ..Asked::default() };
        let told = verified(&scene.config, &asked).await.expect("a verdict");
        assert!(told.text.contains("3 of 3") && told.text.contains("up to 24"), "{}", told.text);
        // A copy of the database elsewhere, named by hand.
        let copy = Asked { database: Some(scene.config.database.order.url.clone()), ..asked };
        assert!(verified(&scene.config, &copy).await.expect("a verdict").well);
    }

    async fn audit_rows_edited_deleted_inserted_and_reordered_are_found_where_they_are(t: TestDb) {
        let scene = Scene::whole(&t).await;
        let rows = scene.rows().await;
        let cases: [(&str, Change, &str); 4] = [
            ("edited", |rows| rows[9].2 = "mallory".into(), "\"position\":10"),
            ("deleted", |rows| drop(rows.remove(9)), "\"position\":10"),
            ("inserted", |rows| {
                rows.insert(9, rows[9].clone());
                (9..rows.len()).for_each(|at| rows[at].0 = at as i64 + 1);
            }, "\"position\":11"),
            ("reordered", |rows| {
                rows.swap(9, 12);
                (rows[9].0, rows[12].0) = (10, 13);
            }, "\"position\":10"),
        ];
        for (what, change, wanted) in cases {
            let mut changed = rows.clone();
            change(&mut changed);
            scene.put_whole(&changed).await;
            let problems = scene.problems().await;
            assert!(problems.contains(wanted), "{what}: {problems}");
            let found = scene.verify(&[]).await;
            assert_eq!(found["vouched_position"], 7, "{what}: what is before the row is still vouched for: {found}");
        }
    }

    async fn audit_trails_that_were_cut_off_are_found_by_their_checkpoints(t: TestDb) {
        let scene = Scene::whole(&t).await;
        let rows = scene.rows().await;
        for keep in [0, 6, 7, 23] {
            scene.put_whole(&rows[..keep]).await;
            let problems = scene.problems().await;
            assert!(problems.contains(&format!("the trail ends at {keep}: its last rows were taken out")), "{problems}");
        }
        // Cut off and grown again by honest work: other rows stand where the checkpoints were.
        scene.put_whole(&rows[..20]).await;
        scene.write(20).await;
        let problems = scene.problems().await;
        assert!(problems.contains("\"position\":24") && problems.contains("written anew"), "{problems}");
        // Behind the last checkpoint the chain has nothing to be held against.
        scene.put_whole(&rows[..24]).await;
        assert_eq!(scene.problems().await, "[]");
    }

    async fn audit_trails_written_anew_as_a_whole_no_longer_meet_their_checkpoints(t: TestDb) {
        let scene = Scene::whole(&t).await;
        let mut rows = scene.rows().await;
        rows[10].2 = "somebody else".into();
        rewrite(&mut rows);
        scene.put_whole(&rows).await;
        let found = scene.verify(&[]).await;
        let problems = found["problems"].to_string();
        assert!(problems.contains("\"position\":15") && problems.contains("\"position\":24"), "{problems}");
        assert!(!problems.contains("\"position\":7,"), "{problems}");
        assert_eq!((&found["rows"], &found["vouched_position"]), (&30.into(), &7.into()), "the chain itself is whole");
        // The suite does not lend its name to it, neither the process that runs nor the next one.
        scene.write(5).await;
        let exporter = scene.exporter();
        assert_eq!(exporter.make().await.expect("a word"), Made::Refused(24));
        assert_eq!(exporter.make().await.expect("a word"), Made::Refused(24));
    }

    async fn audit_tampering_at_random_is_found_exactly_when_it_changed_what_is_vouched_for(t: TestDb) {
        let scene = Scene::whole(&t).await;
        let original = scene.rows().await;
        assert!(is_chain(&original), "the test and the suite make hashes in the same way");
        let random = SeededIds::shared(4711, scene.clock.clone());
        let vouched = CHECKPOINTS[2];
        let (mut found, mut harmless) = (0, 0);
        // Each opens the database anew, which takes a while on PostgreSQL.
        let cases = if scene.db.engine() == testkit::Engine::Sqlite { 80 } else { 24 };
        for case in 0..cases {
            let (rows, head) = tampered(&original, &*random);
            let last = rows.last().map_or((0, Vec::new()), |row| (row.0, row.11.clone()));
            let honest = is_chain(&rows) && head == last && rows.get(..vouched) == original.get(..vouched);
            scene.put(&rows, head.clone()).await;
            let report = scene.verify(&[]).await;
            assert_eq!(report["intact"], honest, "case {case}: head {head:?}, {report}\n{rows:?}");
            if honest { harmless += 1 } else { found += 1 }
        }
        assert!(found * 2 > cases, "{found} found, {harmless} behind the last checkpoint");
    }

    async fn audit_checkpoints_are_made_once_for_each_state_and_go_on_after_a_restart(t: TestDb) {
        let scene = Scene::new(&t).await;
        let exporter = scene.exporter();
        assert_eq!(exporter.make().await.expect("a word"), Made::Unchanged, "there is nothing yet");
        scene.write(3).await;
        let Made::Checkpoint(line) = exporter.make().await.expect("a word") else { panic!("none") };
        assert_eq!(exporter.make().await.expect("a word"), Made::Unchanged);
        let keys = public_keys(&scene.config, &[]).expect("the key is there");
        let read = Checkpoint::open(&line, &keys).expect("our own");
        assert_eq!((read.service.as_str(), read.position, read.number), ("order", 3, 1));
        let next = scene.exporter();
        assert_eq!(next.make().await.expect("a word"), Made::Unchanged, "the life before made it");
        scene.write(1).await;
        assert!(matches!(next.make().await.expect("a word"), Made::Checkpoint(_)));
        assert_eq!(scene.verify(&[]).await["checkpoints_met"], 2);
    }

    async fn audit_checkpoints_that_were_forged_moved_or_taken_out_are_found(t: TestDb) {
        let scene = Scene::whole(&t).await;
        let file = files(&scene.checkpoints()).pop().expect("a file");
        let text = std::fs::read_to_string(&file).expect("the checkpoints");
        let lines: Vec<&str> = text.lines().collect();
        let put = |content: String| std::fs::write(&file, content).expect("written");

        put(format!("{}\n{}\n", lines[0], lines[2]));
        assert!(scene.problems().await.contains("lines were taken out"));
        put(format!("{}\n{}\n{}\n", lines[1], lines[0], lines[2]));
        assert!(scene.problems().await.contains("line 1: checkpoint 2 follows checkpoint 0"));
        let (head, signature) = lines[0].rsplit_once('.').expect("a JWS");
        let other = lines[1].rsplit_once('.').expect("a JWS").1;
        assert_ne!(signature, other);
        put(format!("{head}.{other}\n"));
        assert!(scene.problems().await.contains("the signature is wrong"));
        let head = store::audit::head(&scene.db, &Caller::system("test")).await.expect("a head");
        let forged = Checkpoint::new("order", &head, kit::clock::Clock::now(&*scene.clock), "x", 1);
        put(format!("{text}{}\n", forged.sign(&SigningKey::generate())));
        assert!(scene.problems().await.contains("not among those that were given"));
        put(format!("{text}what is this\n"));
        assert!(scene.problems().await.contains("line 4: it is no signed checkpoint"));
        // Half a line at the end is what a killed process leaves.
        put(format!("{text}{}", &lines[2][..40]));
        assert_eq!(scene.problems().await, "[]");
        std::fs::rename(&file, scene.checkpoints().join("order-other.jws")).expect("renamed");
        assert!(scene.problems().await.contains("belongs to order-"));
        std::fs::remove_file(scene.checkpoints().join("order-other.jws")).expect("removed");
        assert!(scene.problems().await.contains("nothing vouches for it"));
    }

    async fn audit_keys_are_those_that_are_named(t: TestDb) {
        let scene = Scene::whole(&t).await;
        let write = |name: &str, text: String| {
            let path = scene.folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let own = signing_key(&scene.config).expect("a key").public_jwk();
        let other = SigningKey::generate().public_jwk();
        let set = write("set.json", serde_json::json!({ "keys": [other, own] }).to_string());
        assert_eq!(scene.verify(&[set]).await["intact"], true);
        let wrong = write("other.json", other.to_string());
        let found = scene.verify(&[wrong]).await;
        assert!(found["intact"] == false && found["checkpoints"] == 0, "{found}");
        for (name, text) in [("none", "no key"), ("private", r#"{"kty":"OKP","crv":"Ed25519","x":"","d":""}"#)] {
            let asked = Asked { services: vec![Service::Order], keys: vec![write(name, text.into())], ..Asked::default() };
            let error = verified(&scene.config, &asked).await.expect_err("no key");
            assert!(format!("{error:#}").contains(name), "{error:#}");
        }
        std::fs::remove_dir_all(keys::folder(&scene.config)).expect("removed");
        let asked = Asked { services: vec![Service::Order], ..Asked::default() };
        let error = verified(&scene.config, &asked).await.expect_err("no key").to_string();
        assert!(error.contains("--key") && !keys::folder(&scene.config).exists(), "none is made: {error}");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).expect("a folder");
    listed
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_checkpoints_are_made_when_the_suite_stops() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = VitrineConfig {
        data_dir: folder.path().join("data"),
        drain: kit::lifecycle::DrainConfig::quick(),
        ..VitrineConfig::default()
    };
    config.server.address.set_port(0);
    config.admin.address.set_port(0);
    config.audit.checkpoint_dir = Some(folder.path().join("checkpoints"));
    let suite = Suite::start(
        &config,
        &[],
        Lifecycle::new(),
        prometheus::Registry::new(),
        Metrics::global(),
    )
    .await
    .expect("a suite");
    let db = open(&config, Service::Order).await.expect("the database");
    db.execute(&Caller::system("test"), Audited(3))
        .await
        .expect("a unit");
    db.close().await;
    assert!(suite.stop(&config).await.is_clean());
    let asked = Asked {
        services: vec![Service::Order],
        json: true,
        ..Asked::default()
    };
    let found = verified(&config, &asked).await.expect("a verdict");
    let value: serde_json::Value = serde_json::from_str(&found.text).expect("JSON");
    let order = &value["services"][0];
    assert!(found.well && order["rows"].as_i64() >= Some(3), "{order}");
    assert_eq!(order["vouched_position"], order["last_position"], "{order}");
    let asked = Asked {
        services: vec![Service::Order, Service::Room],
        database: Some("sqlite:x".into()),
        ..Asked::default()
    };
    let error = verified(&config, &asked).await.expect_err("two services");
    assert!(error.to_string().contains("one service"), "{error}");
}
