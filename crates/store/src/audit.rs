//! Who did what, on whose behalf, and how it came out; each row's hash covers the row before it.

use kit::caller::Caller;
use kit::errors::Fault;
use sha2::{Digest, Sha256};

use crate::head::AUDIT;
use crate::{Db, Operation, Tx, bulk, sql};

/// One audit row to be written with the unit of work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewAudit {
    /// The subject of the caller's token.
    pub who: String,
    /// Who issued the token.
    pub issuer: String,
    /// What kind of caller it was: the audience, in lower case.
    pub actor: String,
    /// For whom a service acted; empty when for itself.
    pub on_behalf_of: String,
    /// What was done, such as `listing.approve`.
    pub action: String,
    /// What it was done to.
    pub resource_id: String,
    /// How it came out, such as `done`.
    pub outcome: String,
    /// The call it belongs to.
    pub request_id: String,
}

impl NewAudit {
    /// A row about something that `caller` did.
    pub fn of(
        caller: &Caller,
        action: impl Into<String>,
        resource_id: impl Into<String>,
        outcome: impl Into<String>,
    ) -> Self {
        NewAudit {
            who: caller.subject.clone(),
            issuer: caller.issuer.clone(),
            actor: actor(caller),
            on_behalf_of: caller.on_behalf_of.clone().unwrap_or_default(),
            action: action.into(),
            resource_id: resource_id.into(),
            outcome: outcome.into(),
            request_id: caller.request_id.clone(),
        }
    }

    /// The hash of this row at its place in the chain. Every field carries its length, so that no two rows
    /// write the same bytes.
    pub(crate) fn link(&self, prev_hash: &[u8], position: i64, at: i64) -> Vec<u8> {
        let mut hash = Sha256::new();
        hash.update(prev_hash);
        hash.update(position.to_be_bytes());
        hash.update(at.to_be_bytes());
        for field in [
            &self.who,
            &self.issuer,
            &self.actor,
            &self.on_behalf_of,
            &self.action,
            &self.resource_id,
            &self.outcome,
            &self.request_id,
        ] {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field.as_bytes());
        }
        hash.finalize().to_vec()
    }
}

fn actor(caller: &Caller) -> String {
    let name = caller.audience.as_str_name();
    name.strip_prefix("AUDIENCE_")
        .unwrap_or(name)
        .to_ascii_lowercase()
}

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every row is what it was when it was written.
    Intact {
        /// How many rows were read.
        rows: i64,
        /// The hash of the last; empty when there was none. Keep it elsewhere to notice a rewritten chain.
        last_hash: Vec<u8>,
    },
    /// A row was changed, put in or taken out.
    Broken {
        /// The first position that does not hold.
        position: i64,
        /// What is wrong with it.
        why: &'static str,
    },
}

const MISSING: &str = "the row is missing";

/// Where a chain ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last position that was given; 0 while there is none.
    pub position: i64,
    /// The hash of the row there; empty while there is none.
    pub hash: Vec<u8>,
}

/// Where the chain of this database ends at this moment.
pub async fn head(db: &Db, caller: &Caller) -> Result<Head, Fault> {
    let (position, hash, _) = db.read(caller, ReadHead).await?;
    Ok(Head { position, hash })
}

/// The hashes that stand at these positions, in no order; a position without a row is left out. Not recomputed:
/// that is what [`verify`] is for.
pub async fn links_at(
    db: &Db,
    caller: &Caller,
    positions: Vec<i64>,
) -> Result<Vec<(i64, Vec<u8>)>, Fault> {
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    db.read(caller, ReadLinks { positions }).await
}

/// Recomputes the chain from position `from` to `to`, both included; no `to` means up to the head. When it
/// reaches the head, the head's own record of the last link is compared too. Reads a page at a time.
pub async fn verify(
    db: &Db,
    caller: &Caller,
    from: i64,
    to: Option<i64>,
) -> Result<Verdict, Fault> {
    verify_watched(db, caller, from, to, |_, _| ()).await
}

/// The same, telling after each page how far it is: the position, and the last one.
pub async fn verify_watched(
    db: &Db,
    caller: &Caller,
    from: i64,
    to: Option<i64>,
    mut watch: impl FnMut(i64, i64) + Send,
) -> Result<Verdict, Fault> {
    let (head, head_hash, highest) = db.read(caller, ReadHead).await?;
    // Behind the head there is nothing yet, so nothing can be missing there.
    let from = from.clamp(1, head + 1);
    let last = to.map_or(head, |to| to.min(head));
    let mut chain = Chain::start();
    if from > 1 {
        let before = ReadRows {
            from: from - 1,
            to: from - 1,
        };
        match db.read(caller, before).await?.pop() {
            Some(row) => {
                chain = Chain {
                    next: from,
                    hash: row.hash,
                    rows: 0,
                }
            }
            None => {
                return Ok(Verdict::Broken {
                    position: from - 1,
                    why: MISSING,
                });
            }
        }
    }
    while chain.next <= last {
        let upto = last.min(chain.next + VERIFY_PAGE - 1);
        let page = ReadRows {
            from: chain.next,
            to: upto,
        };
        for row in db.read(caller, page).await? {
            if let Some(why) = chain.take(row) {
                return Ok(Verdict::Broken {
                    position: chain.next,
                    why,
                });
            }
        }
        if chain.next <= upto {
            return Ok(Verdict::Broken {
                position: chain.next,
                why: MISSING,
            });
        }
        watch(upto, last);
    }
    if highest > head {
        return Ok(Verdict::Broken {
            position: head + 1,
            why: "the head knows of no such row",
        });
    }
    if chain.next == head + 1 && chain.hash != head_hash {
        return Ok(Verdict::Broken {
            position: head,
            why: "it is not the last link that the head knows",
        });
    }
    Ok(Verdict::Intact {
        rows: chain.rows,
        last_hash: chain.hash,
    })
}

/// Rows read in one statement by [`verify`].
const VERIFY_PAGE: i64 = 500;

/// How far a walk along the chain has come.
struct Chain {
    next: i64,
    hash: Vec<u8>,
    rows: i64,
}

impl Chain {
    fn start() -> Self {
        Chain {
            next: 1,
            hash: Vec::new(),
            rows: 0,
        }
    }

    /// Goes on to `row`; says what is wrong with it.
    fn take(&mut self, row: Row) -> Option<&'static str> {
        if row.position != self.next {
            return Some(MISSING);
        }
        if row.prev_hash != self.hash {
            return Some("it does not follow the row before it");
        }
        let (position, at, hash) = (row.position, row.at, row.hash.clone());
        if row.into_entry().link(&self.hash, position, at) != hash {
            return Some("its content does not give its hash");
        }
        self.hash = hash;
        self.next += 1;
        self.rows += 1;
        None
    }
}

/// The last position given, the last link, and the highest position there is.
struct ReadHead;

impl Operation for ReadHead {
    type Output = (i64, Vec<u8>, i64);

    fn name(&self) -> &'static str {
        "audit.head"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        Ok(sql!(
            tx,
            one(i64, Vec<u8>, i64),
            "SELECT position, hash, COALESCE((SELECT MAX(position) FROM audit), CAST(0 AS BIGINT)) \
             FROM feed_head WHERE scope = $1",
            AUDIT
        )?)
    }
}

struct ReadLinks {
    positions: Vec<i64>,
}

impl Operation for ReadLinks {
    type Output = Vec<(i64, Vec<u8>)>;

    fn name(&self) -> &'static str {
        "audit.links"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        Ok(bulk!(
            tx,
            all (i64, Vec<u8>),
            postgres: "SELECT a.position, a.hash FROM UNNEST($1::BIGINT[]) AS k(position) CROSS JOIN LATERAL \
                       (SELECT position, hash FROM audit WHERE position = k.position LIMIT 1) AS a",
            sqlite: "SELECT a.position, a.hash FROM json_each($1) AS k \
                     CROSS JOIN audit AS a ON a.position = k.value->>0",
            columns: [self.positions.as_slice()]
        )?)
    }
}

struct ReadRows {
    from: i64,
    to: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    position: i64,
    at: i64,
    who: String,
    issuer: String,
    actor: String,
    on_behalf_of: String,
    action: String,
    resource_id: String,
    outcome: String,
    request_id: String,
    prev_hash: Vec<u8>,
    hash: Vec<u8>,
}

impl Row {
    fn into_entry(self) -> NewAudit {
        NewAudit {
            who: self.who,
            issuer: self.issuer,
            actor: self.actor,
            on_behalf_of: self.on_behalf_of,
            action: self.action,
            resource_id: self.resource_id,
            outcome: self.outcome,
            request_id: self.request_id,
        }
    }
}

impl Operation for ReadRows {
    type Output = Vec<Row>;

    fn name(&self) -> &'static str {
        "audit.rows"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        Ok(sql!(
            tx,
            all Row,
            "SELECT position, at, who, issuer, actor, on_behalf_of, action, resource_id, outcome, request_id, \
             prev_hash, hash FROM audit WHERE position >= $1 AND position <= $2 ORDER BY position",
            self.from,
            self.to
        )?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_link_covers_its_place_and_every_field() {
        let row = |change: fn(&mut NewAudit)| {
            let mut row = NewAudit {
                action: "ab".into(),
                resource_id: "c".into(),
                ..NewAudit::default()
            };
            change(&mut row);
            row
        };
        let same = row(|_| ());
        let mut links = vec![
            same.link(&[], 1, 1),
            same.link(&[0], 1, 1),
            same.link(&[], 2, 1),
            same.link(&[], 1, 2),
        ];
        let changes: [fn(&mut NewAudit); 9] = [
            |row| row.who = "x".into(),
            |row| row.issuer = "x".into(),
            |row| row.actor = "x".into(),
            |row| row.on_behalf_of = "x".into(),
            |row| row.action = "x".into(),
            |row| row.resource_id = "x".into(),
            |row| row.outcome = "x".into(),
            |row| row.request_id = "x".into(),
            // The same letters, divided otherwise.
            |row| (row.action, row.resource_id) = ("a".into(), "bc".into()),
        ];
        links.extend(changes.map(|change| row(change).link(&[], 1, 1)));
        let distinct: HashSet<_> = links.iter().collect();
        assert_eq!(distinct.len(), links.len());
        assert_eq!(same.link(&[], 1, 1), links[0]);
    }
}
