//! Configuration: defaults in code, then a TOML file, then the environment, then flags.
//!
//! * A key that nothing reads is an error, with the place it came from and the nearest key that exists.
//! * `VITRINE__SERVER__PORT` is the key `server.port`; so is the flag value `server.port=…`. Text from
//!   both is read as whatever type the key has; lists are comma-separated or written as in TOML, tables as
//!   TOML inline tables, and `issuers.0.name` reaches into a list.
//! * Tables merge key by key; anything else, a list too, is replaced as a whole.
//! * Secrets never have a default in code, and are never printed.
//!
//! Config structs are plain: no `flatten`, no untagged or internally tagged enums, because serde hides
//! their keys from everybody.
//!
//! This is the only place that reads the process's environment.

mod access;
mod de;
mod error;
mod nearest;
mod secret;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{ConfigError, Problem, Source};
pub use secret::Secret;

use tree::Node;

/// What the names of the suite's environment variables begin with.
pub const ENV_PREFIX: &str = "VITRINE__";

/// What stands between the parts of a key in an environment variable's name.
const ENV_SEPARATOR: &str = "__";

/// The suite's variables of an environment.
#[derive(Clone, Debug, Default)]
pub struct Env {
    vars: BTreeMap<String, OsString>,
}

impl Env {
    /// The variables of this process.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect()
    }

    /// No variables.
    pub fn empty() -> Self {
        Self::default()
    }
}

impl<K: Into<String>, V: Into<OsString>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(vars: I) -> Self {
        let vars = vars
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        let vars = vars
            .filter(|(name, _): &(String, OsString)| name.starts_with(ENV_PREFIX))
            .collect();
        Env { vars }
    }
}

/// One variable of the process's environment that is not configuration, such as `HOSTNAME`; none when it
/// is unset, empty or no text.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub fn env_var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Reads `server.port=8080`, as flags give it.
pub fn parse_override(text: &str) -> Result<(String, String), ConfigError> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err(ConfigError::Override {
            text: text.to_owned(),
        }),
    }
}

/// The configuration: the defaults of `T`, with `file`, `env` and `overrides` laid over them in turn.
pub fn load<T>(
    file: Option<&Path>,
    env: &Env,
    overrides: &[(String, String)],
) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Serialize + Default,
{
    load_onto(&T::default(), file, env, overrides)
}

/// Like [`load`], over `base` instead of the defaults.
pub fn load_onto<T>(
    base: &T,
    file: Option<&Path>,
    env: &Env,
    overrides: &[(String, String)],
) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Serialize,
{
    let mut tree = tree::from_defaults(base)?;
    if let Some(path) = file {
        tree.merge(tree::from_file(path)?);
    }
    let mut problems = Vec::new();
    for (keys, node) in env_entries(env, &mut problems) {
        tree.set(&keys, node, &mut problems);
    }
    for (key, value) in overrides {
        let keys: Vec<String> = key.split('.').map(|part| part.trim().to_owned()).collect();
        let node = Node::text(value.clone(), Source::Flag(key.clone()));
        tree.set(&keys, node, &mut problems);
    }
    de::read(&tree, problems)
}

/// The configuration as TOML, with secrets, and passwords in addresses, hidden.
pub fn render<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    let mut value =
        toml::Value::try_from(config).map_err(|e| ConfigError::Render(e.to_string()))?;
    secret::hide_passwords(&mut value);
    toml::to_string_pretty(&value).map_err(|e| ConfigError::Render(e.to_string()))
}

fn env_entries(env: &Env, problems: &mut Vec<Problem>) -> Vec<(Vec<String>, Node)> {
    let mut entries = Vec::with_capacity(env.vars.len());
    for (name, value) in &env.vars {
        let source = Source::Env(name.clone());
        let key = name
            .strip_prefix(ENV_PREFIX)
            .unwrap_or_default()
            .to_lowercase();
        let keys: Vec<String> = key.split(ENV_SEPARATOR).map(str::to_owned).collect();
        match value.to_str() {
            Some(value) => entries.push((keys, Node::text(value.to_owned(), source))),
            None => problems.push(Problem::new(keys.join("."), source, "is not valid UTF-8")),
        }
    }
    // Places in a list come in the order of their numbers, so that each finds the one before it.
    let number = |part: &String| part.parse::<usize>().ok();
    entries.sort_by_cached_key(|(keys, _)| {
        keys.iter()
            .map(|k| (number(k), k.clone()))
            .collect::<Vec<_>>()
    });
    entries
}
