//! The desk: where the commands of the handshake are handed in.
//!
//! Many callers hand in commands; a lane carries out what has gathered in one transaction and answers each
//! caller with a verdict of their own. See [`super::batch`] for what happens inside.

use std::sync::Arc;
use std::time::Duration;

use ::store::Db;
use ::store::Tx;
use ::store::batch::{Admission, BatchRun, Lane, Priority};
use kit::caller::{Caller, Tenant};
use kit::errors::Fault;

use super::agreed::Agreed;
use super::batch;
use crate::Config;
use crate::config::PersonLimits;
use crate::model::command::{Answer, Command, Confirm, Place, Verdict};
use crate::model::payment::Payment;
use crate::model::{HoldRules, Placement};

/// A command and on whose word it is carried out.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks; feed entries and audit rows name them.
    pub caller: Arc<Caller>,
    /// What for.
    pub command: Command,
}

/// The rules of a configuration.
pub fn hold_rules(config: &Config) -> HoldRules {
    HoldRules {
        ttl: Duration::from_secs(config.hold_ttl_s),
        ttl_max: Duration::from_secs(config.hold_ttl_max_s),
        extension_max: Duration::from_secs(config.hold_extension_max_s),
        total_max: Duration::from_secs(config.hold_total_max_s),
        person_limits: config.person_limits == PersonLimits::On,
    }
}

/// The way in; cheap to clone.
#[derive(Clone)]
pub struct Desk {
    lane: Lane<Request, Verdict>,
    agreed: Agreed,
}

impl Desk {
    /// Starts the lanes.
    pub fn start(db: &Db, config: &Config) -> Self {
        let runner = Runner::new(hold_rules(config), config.placements_kept_max);
        Desk {
            agreed: runner.agreed.clone(),
            lane: Lane::start(db, runner, &config.lane),
        }
    }

    /// Hands in a command and waits for its verdict. `Busy` means that nothing was done.
    pub async fn submit(&self, caller: &Arc<Caller>, command: Command) -> Result<Answer, Fault> {
        let how = Admission {
            priority: priority(&command),
            deadline: None,
            affinity: None,
        };
        let request = Request {
            caller: caller.clone(),
            command,
        };
        Ok(self.lane.submit(request, how).await??)
    }

    /// Places an order; true when it had been placed before.
    pub async fn place(
        &self,
        caller: &Arc<Caller>,
        place: Place,
    ) -> Result<(Arc<Placement>, bool), Fault> {
        match self.submit(caller, Command::Place(Box::new(place))).await? {
            Answer::Placed {
                placement,
                replayed,
            } => {
                // The lane answers after the commit.
                self.agreed.keep(&placement);
                Ok((placement, replayed))
            }
            other => Err(unexpected("a placement", &other)),
        }
    }

    /// Records a payment; true when it had been recorded before.
    pub async fn confirm(
        &self,
        caller: &Arc<Caller>,
        confirm: Confirm,
    ) -> Result<(Arc<Payment>, bool), Fault> {
        match self
            .submit(caller, Command::Confirm(Box::new(confirm)))
            .await?
        {
            Answer::Confirmed { payment, replayed } => Ok((payment, replayed)),
            other => Err(unexpected("a payment", &other)),
        }
    }

    /// How many commands wait.
    pub fn waiting(&self) -> usize {
        self.lane.waiting()
    }
}

/// Money that was taken goes first, and so does what stops more of it from being taken.
fn priority(command: &Command) -> Priority {
    match command {
        Command::Confirm(_) | Command::Stop(_) => Priority::MoneyTaken,
        _ => Priority::Normal,
    }
}

fn unexpected(wanted: &str, got: &Answer) -> Fault {
    Fault::internal(format!(
        "the desk answered {} where {wanted} was due",
        got.name()
    ))
}

/// Carries out batches.
#[derive(Clone, Debug)]
pub struct Runner {
    rules: HoldRules,
    agreed: Agreed,
}

impl Runner {
    /// Holds units as long as the rules say, and keeps at most so many placements in memory.
    pub fn new(rules: HoldRules, placements_kept_max: u64) -> Self {
        Runner {
            rules,
            agreed: Agreed::new(placements_kept_max),
        }
    }
}

impl BatchRun<Request, Verdict> for Runner {
    fn name(&self) -> &'static str {
        "order.desk"
    }

    fn tenant(&self, requests: &[Request]) -> Tenant {
        Tenant::of(requests.iter().map(|request| &*request.caller))
    }

    async fn run(&self, tx: &mut Tx, requests: &[Request]) -> Result<Vec<Verdict>, Fault> {
        batch::run(tx, &self.rules, &self.agreed, requests).await
    }
}
