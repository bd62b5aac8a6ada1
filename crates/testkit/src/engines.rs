//! One test, both engines.

use store::Engine;

use crate::database::{Setup, TestDb};

/// The engines that this machine has; says so when one is missing.
pub fn engines() -> Vec<Engine> {
    let mut engines = vec![Engine::Sqlite];
    engines.extend(crate::server::server().map(|_| Engine::Postgres));
    engines
}

/// Runs a test on one engine, or skips it; what [`on_both_engines!`](crate::on_both_engines) makes.
pub fn run<F: Future<Output = ()>>(engine: Engine, setup: Setup, test: impl FnOnce(TestDb) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime needs nothing that could be missing");
    runtime.block_on(async {
        if let Some(database) = TestDb::open(engine, setup).await {
            test(database).await;
        }
    });
}

/// Makes a test on SQLite and one on PostgreSQL from each function, `name::sqlite` and
/// `name::postgres`. The function gets a [`TestDb`](crate::TestDb) of its own. `setup` says what it
/// wants of it; without, it gets the default [`Setup`](crate::Setup).
///
/// ```
/// use testkit::{Setup, TestDb, on_both_engines};
///
/// on_both_engines! {
///     setup: Setup::new().config(|config| config.queue_max = 2);
///
///     async fn answers(t: TestDb) {
///         t.ping().await.expect("an answer");
///     }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! on_both_engines {
    (setup: $setup:expr; $($(#[$attr:meta])* async fn $name:ident($arg:ident: $type:ty) $body:block)+) => {$(
        $(#[$attr])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn test($arg: $type) $body

            #[test]
            fn sqlite() {
                $crate::run($crate::Engine::Sqlite, $setup, test);
            }

            #[test]
            fn postgres() {
                $crate::run($crate::Engine::Postgres, $setup, test);
            }
        }
    )+};
    ($($(#[$attr:meta])* async fn $name:ident($arg:ident: $type:ty) $body:block)+) => {
        $crate::on_both_engines! {
            setup: $crate::Setup::new();
            $($(#[$attr])* async fn $name($arg: $type) $body)+
        }
    };
}
