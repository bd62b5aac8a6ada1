//! The store's private server, for tests that are skipped where its programs are missing.

use std::io;
use std::ops::{Deref, DerefMut};

use store::private;
pub use store::private::Settings;

use crate::environment::skip_postgres;

/// A private server: started with its own data folder on a Unix socket, ended and removed when this is
/// dropped or when the process dies, however it dies.
pub struct PrivatePostgres(private::PrivatePostgres);

impl PrivatePostgres {
    /// Starts a server and waits until it takes connections. An error says what is missing.
    pub fn start(settings: Settings) -> io::Result<Self> {
        private::PrivatePostgres::start(settings).map(PrivatePostgres)
    }

    /// The same for a test that is skipped where the programs are missing, which is then said. They are
    /// needed even where `VITRINE_TEST_POSTGRES` names a server: that one is not ours to kill.
    pub fn start_or_skip(settings: Settings) -> Option<Self> {
        if private::programs().is_none() {
            skip_postgres("no postgres and initdb on PATH or under /usr/lib/postgresql/*/bin");
            return None;
        }
        Some(Self::start(settings).expect("a private PostgreSQL that starts"))
    }
}

impl Deref for PrivatePostgres {
    type Target = private::PrivatePostgres;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for PrivatePostgres {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
