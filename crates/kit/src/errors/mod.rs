//! Why something was not done, and how callers are told.
//!
//! A [`Refusal`] is an answer: the call was understood and has no effect. A [`Fault`] is everything
//! that a unit of work can end with. Three meanings stay apart for callers: *not done*, *not done,
//! retry*, and *unknown, ask again with the same key*.

mod reason;
mod status;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

pub use contracts::ErrorReason;
pub use reason::{code_of, reason_name};
pub(crate) use status::internal_status;
pub use status::{DOMAIN, internal};

/// An error of whatever kind.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field, such as `lines[2].quantity`.
    pub field: String,
    /// What is wrong with it and what to send instead.
    pub description: String,
}

/// One state that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    /// The kind of condition, such as `STATE`.
    pub kind: String,
    /// What is in that state, such as `listing`.
    pub subject: String,
    /// What the state is and what would help.
    pub description: String,
}

/// An answer that says no. It has no effect and may be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason; decides the gRPC code.
    pub reason: ErrorReason,
    /// One sentence for the caller.
    pub message: String,
    /// Fields that are wrong.
    pub violations: Vec<FieldViolation>,
    /// States that stand in the way.
    pub preconditions: Vec<Precondition>,
    /// What a program may want to know, such as `listing_id`.
    pub metadata: BTreeMap<String, String>,
    /// When trying again may help.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with a reason and a sentence.
    pub fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Refusal {
            reason,
            message: message.into(),
            violations: Vec::new(),
            preconditions: Vec::new(),
            metadata: BTreeMap::new(),
            retry_after: None,
        }
    }

    /// One wrong field. [`crate::validate::Violations`] gathers several.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        let violation = FieldViolation {
            field: field.into(),
            description: description.into(),
        };
        let message = format!("Field {}: {}", violation.field, violation.description);
        let mut refusal = Self::new(ErrorReason::InvalidField, message);
        refusal.violations.push(violation);
        refusal
    }

    /// No such thing, or another's. The sentence is made from the kind alone, so that the two cannot
    /// be told apart.
    pub fn not_found(kind: &str) -> Self {
        Self::new(
            ErrorReason::NotFound,
            format!("There is no such {kind}, or it is not yours."),
        )
    }

    /// The subject's state does not allow the call.
    pub fn wrong_state(
        subject: impl Into<String>,
        state: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self::new(ErrorReason::WrongState, message).because("STATE", subject, state.to_string())
    }

    /// Adds a state that stands in the way.
    pub fn because(
        mut self,
        kind: impl Into<String>,
        subject: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        self.preconditions.push(Precondition {
            kind: kind.into(),
            subject: subject.into(),
            description: description.into(),
        });
        self
    }

    /// Adds something a program may want to know.
    pub fn with(mut self, key: impl Into<String>, value: impl fmt::Display) -> Self {
        self.metadata.insert(key.into(), value.to_string());
        self
    }

    /// Says when trying again may help.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", reason_name(self.reason), self.message)
    }
}

impl Error for Refusal {}

/// How a unit of work can fail.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An answer that says no; nothing was done.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// Nothing was done, because there is too much to do; retry.
    #[error("busy: {message}")]
    Busy {
        /// One sentence for the caller.
        message: String,
        /// When to retry.
        retry_after: Duration,
    },
    /// Whether it was done cannot be told; ask again with the same key.
    #[error("outcome unknown: {message}")]
    Unknown {
        /// One sentence for the caller.
        message: String,
    },
    /// Another unit got in the way; the unit is to be run again. Nothing was done.
    #[error("conflict")]
    Conflict(#[source] BoxError),
    /// The database went away before the commit was sent; the unit may be run again.
    #[error("connection lost")]
    ConnectionLost(#[source] BoxError),
    /// A fault of ours. Logged under the request id; callers learn nothing but the id.
    #[error("internal error")]
    Internal(#[source] BoxError),
}

// A fault travels in every Result of the suite: keep it small enough to move cheaply.
const _: () = assert!(size_of::<Fault>() <= 120);

impl Fault {
    /// A fault of ours.
    pub fn internal(error: impl Into<BoxError>) -> Self {
        Fault::Internal(error.into())
    }

    /// Nothing was done, because there is too much to do.
    pub fn busy(message: impl Into<String>, retry_after: Duration) -> Self {
        Fault::Busy {
            message: message.into(),
            retry_after,
        }
    }

    /// Whether it was done cannot be told.
    pub fn unknown() -> Self {
        Fault::Unknown {
            message: status::UNKNOWN_MESSAGE.into(),
        }
    }

    /// Whether running the same unit again may help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Fault::Busy { .. }
            | Fault::Unknown { .. }
            | Fault::Conflict(_)
            | Fault::ConnectionLost(_) => true,
            Fault::Refused(refusal) => refusal.retry_after.is_some(),
            Fault::Internal(_) => false,
        }
    }

    /// The refusal, when it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Fault::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The error with all its causes on one line, for logs.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Fault::Refused(refusal)
    }
}

/// An error with all its causes on one line, for logs.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
