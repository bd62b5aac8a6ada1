//! What the catalogue last said of each partner, kept beside a service's own tables.
//!
//! A process keeps its partners in memory and follows the catalogue's feed; this is what it knows when it starts, and
//! from where it goes on. Contents are messages of the contract, opaque here. Any number of replicas may write: of two
//! words about the same the one with the larger revision stays.

use kit::caller::Caller;
use kit::errors::Fault;

use crate::{Db, Operation, Tx, sql};

/// Rows on a page while everything is read.
const PAGE: i64 = 1_000;

/// Which half of what is known of a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Whether it is suspended.
    State,
    /// How it is let in.
    Access,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Part::State => "STATE",
            Part::Access => "ACCESS",
        }
    }
}

/// One word about a partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The partner.
    pub partner_id: String,
    /// Which half it is.
    pub part: Part,
    /// The larger one counts.
    pub revision: i64,
    /// The message of the contract.
    pub content: Vec<u8>,
}

/// Everything that is kept, and the cursor from which the feed goes on; empty for its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Where to go on.
    pub cursor: String,
    /// What is known.
    pub snapshots: Vec<Snapshot>,
}

/// Reads everything that is kept.
pub async fn load(db: &Db, caller: &Caller) -> Result<Kept, Fault> {
    let mut kept = Kept {
        cursor: db.read(caller, ReadCursor).await?,
        snapshots: Vec::new(),
    };
    let mut after = (String::new(), String::new());
    loop {
        let rows = db.read(caller, ReadPage { after }).await?;
        let is_last = rows.len() < PAGE as usize;
        let Some(last) = rows.last() else {
            return Ok(kept);
        };
        after = (last.partner_id.clone(), last.part.word().to_owned());
        kept.snapshots.extend(rows);
        if is_last {
            return Ok(kept);
        }
    }
}

/// Keeps what is new, and up to where the feed was read.
pub async fn save(
    db: &Db,
    caller: &Caller,
    cursor: String,
    snapshots: Vec<Snapshot>,
) -> Result<(), Fault> {
    db.execute(caller, Save { cursor, snapshots }).await
}

struct ReadCursor;

impl Operation for ReadCursor {
    type Output = String;

    fn name(&self) -> &'static str {
        "partner_directory.cursor"
    }

    async fn run(&self, tx: &mut Tx) -> Result<String, Fault> {
        let row = sql!(
            tx,
            optional(String,),
            "SELECT cursor FROM partner_directory_cursor"
        )?;
        Ok(row.map(|(cursor,)| cursor).unwrap_or_default())
    }
}

struct ReadPage {
    after: (String, String),
}

impl Operation for ReadPage {
    type Output = Vec<Snapshot>;

    fn name(&self) -> &'static str {
        "partner_directory.load"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Snapshot>, Fault> {
        let rows: Vec<(String, String, i64, Vec<u8>)> = sql!(
            tx,
            all(String, String, i64, Vec<u8>),
            "SELECT partner_id, part, revision, content FROM partner_directory \
             WHERE (partner_id, part) > ($1, $2) ORDER BY partner_id, part LIMIT $3",
            &self.after.0,
            &self.after.1,
            PAGE
        )?;
        let snapshot = |(partner_id, part, revision, content): (String, String, i64, Vec<u8>)| {
            let part = if part == Part::State.word() {
                Part::State
            } else {
                Part::Access
            };
            Snapshot {
                partner_id,
                part,
                revision,
                content,
            }
        };
        Ok(rows.into_iter().map(snapshot).collect())
    }
}

struct Save {
    cursor: String,
    snapshots: Vec<Snapshot>,
}

impl Operation for Save {
    type Output = ();

    fn name(&self) -> &'static str {
        "partner_directory.save"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        for word in &self.snapshots {
            sql!(
                tx,
                execute,
                "INSERT INTO partner_directory (partner_id, part, revision, content) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (partner_id, part) DO UPDATE SET revision = excluded.revision, content = excluded.content \
                 WHERE partner_directory.revision < excluded.revision",
                &word.partner_id,
                word.part.word(),
                word.revision,
                &word.content
            )?;
        }
        sql!(
            tx,
            execute,
            "INSERT INTO partner_directory_cursor (singleton, cursor) VALUES (1, $1) \
             ON CONFLICT (singleton) DO UPDATE SET cursor = excluded.cursor",
            &self.cursor
        )?;
        Ok(())
    }
}
