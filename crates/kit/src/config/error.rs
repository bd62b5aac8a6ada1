//! What can be wrong with a configuration, and where it came from.

use std::fmt;
use std::sync::Arc;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The defaults in code.
    Default,
    /// A line of a file.
    File {
        /// The file.
        path: Arc<str>,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable, by name.
    Env(String),
    /// A flag, by the key it sets.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("the defaults"),
            Source::File { path, line } => write!(f, "file {path}, line {line}"),
            Source::Env(name) => write!(f, "environment variable {name}"),
            Source::Flag(key) => write!(f, "flag for {key}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, dotted; empty for the configuration as a whole.
    pub key: String,
    /// Where its value came from.
    pub source: Source,
    /// What is wrong with it.
    pub what: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, source: Source, what: impl Into<String>) -> Self {
        Problem {
            key: key.into(),
            source,
            what: what.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "configuration {} ({})", self.what, self.source),
            key => write!(f, "{key} {} ({})", self.what, self.source),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read config file {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// The file is no TOML.
    #[error("config file {path}, line {line}, is not valid TOML: {error}")]
    Syntax {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        error: String,
    },
    /// A flag that sets nothing.
    #[error("{text:?} sets nothing, write key=value, such as server.port=8080")]
    Override {
        /// The flag's text.
        text: String,
    },
    /// Keys or values that are wrong; all that were found.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
    /// The defaults cannot be written down; a defect in code.
    #[error("the defaults cannot be used: {0}")]
    Defaults(String),
    /// The configuration cannot be printed; a defect in code.
    #[error("the configuration cannot be printed: {0}")]
    Render(String),
}

impl ConfigError {
    /// What is wrong key by key, when that is the kind of error it is.
    pub fn problems(&self) -> &[Problem] {
        match self {
            ConfigError::Problems(problems) => problems,
            _ => &[],
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}
