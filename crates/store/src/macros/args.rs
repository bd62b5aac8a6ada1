//! What is bound to `$1`, `$2`, ..: encoded once, for the engine at hand.

use std::borrow::Cow;
use std::sync::Arc;

use contracts::id::{Id, Kind};
use kit::clock::Micros;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Encode, Postgres, Sqlite, Type};

use crate::tx::{Engine, Tx};

pub(crate) const NUL_IN_TEXT: &str =
    "a text bound to a parameter has a NUL character, which no engine may be given";

/// The values bound to one statement.
pub struct Args {
    pub(super) encoded: Encoded,
    pub(super) refused: Option<String>,
}

pub(super) enum Encoded {
    Postgres(PgArguments),
    Sqlite(SqliteArguments),
}

impl Args {
    /// No values yet, for the engine of `tx`.
    pub fn of(tx: &Tx) -> Self {
        Self::for_engine(tx.engine())
    }

    pub(super) fn for_engine(engine: Engine) -> Self {
        let encoded = match engine {
            Engine::Postgres => Encoded::Postgres(PgArguments::default()),
            Engine::Sqlite => Encoded::Sqlite(SqliteArguments::default()),
        };
        Args {
            encoded,
            refused: None,
        }
    }

    /// These values, encoded already.
    pub(super) fn ready(encoded: Encoded) -> Self {
        Args {
            encoded,
            refused: None,
        }
    }

    /// Binds the next parameter.
    pub fn push(&mut self, value: impl Bind) {
        value.bind(self);
    }

    pub(super) fn refuse(&mut self, message: impl Into<String>) {
        self.refused.get_or_insert_with(|| message.into());
    }

    fn add<'q, T>(&mut self, value: T)
    where
        T: Encode<'q, Postgres> + Type<Postgres> + Encode<'q, Sqlite> + Type<Sqlite>,
    {
        let added = match &mut self.encoded {
            Encoded::Postgres(args) => args.add(value),
            Encoded::Sqlite(args) => args.add(value),
        };
        if let Err(error) = added {
            self.refuse(format!("cannot encode a parameter: {error}"));
        }
    }

    fn add_text(&mut self, text: &str) {
        if has_nul(text) {
            self.refuse(NUL_IN_TEXT);
        }
        // SQLite keeps the text until the statement ran, so it gets its own copy.
        match &mut self.encoded {
            Encoded::Postgres(_) => self.add(text),
            Encoded::Sqlite(_) => self.add(text.to_owned()),
        }
    }
}

/// PostgreSQL refuses NUL and SQLite cuts at it in places; both are told before.
pub(super) fn has_nul(text: &str) -> bool {
    text.as_bytes().contains(&0)
}

/// A value that [`sql!`](crate::sql) can bind.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be bound to an SQL parameter",
    note = "bind integers that fit i64, Micros, String, &str, typed ids, bool, bytes, or an Option of one of them"
)]
pub trait Bind {
    /// Adds the value as the next parameter.
    fn bind(self, args: &mut Args);
    /// Adds NULL of the value's type.
    fn bind_null(args: &mut Args)
    where
        Self: Sized;
}

impl<T: Bind> Bind for Option<T> {
    fn bind(self, args: &mut Args) {
        match self {
            Some(value) => value.bind(args),
            None => T::bind_null(args),
        }
    }

    fn bind_null(args: &mut Args) {
        T::bind_null(args);
    }
}

/// Values that become one of the types that both engines have.
macro_rules! bind_as {
    ($null:ty; $($type:ty $(where <$($lt:lifetime),* $(,)? $($param:ident: $bound:path)?>)? => |$args:ident, $value:ident| $add:expr;)*) => {$(
        impl $(<$($lt,)* $($param: $bound)?>)? Bind for $type {
            fn bind(self, $args: &mut Args) {
                let $value = self;
                $add;
            }

            fn bind_null(args: &mut Args) {
                args.add(None::<$null>);
            }
        }
    )*};
}

bind_as! { i64;
    i64 => |args, value| args.add(value);
    &i64 => |args, value| args.add(*value);
    i32 => |args, value| args.add(i64::from(value));
    u32 => |args, value| args.add(i64::from(value));
    u16 => |args, value| args.add(i64::from(value));
    Micros => |args, value| args.add(value.0);
    &Micros => |args, value| args.add(value.0);
}

bind_as! { bool;
    bool => |args, value| args.add(value);
    &bool => |args, value| args.add(*value);
}

bind_as! { String;
    String => |args, value| args.add_text(&value);
    &String => |args, value| args.add_text(value);
    &&String => |args, value| args.add_text(value);
    &str => |args, value| args.add_text(value);
    &&str => |args, value| args.add_text(value);
    Arc<str> => |args, value| args.add_text(&value);
    &Arc<str> => |args, value| args.add_text(value);
    Cow<'a, str> where <'a,> => |args, value| args.add_text(&value);
    Id<K> where <K: Kind> => |args, value| args.add_text(value.as_str());
    &Id<K> where <K: Kind> => |args, value| args.add_text(value.as_str());
}

bind_as! { Vec<u8>;
    Vec<u8> => |args, value| args.add(value);
    &Vec<u8> => |args, value| args.add(value.clone());
    &[u8] => |args, value| args.add(value.to_vec());
    [u8; 32] => |args, value| args.add(value.to_vec());
    &[u8; 32] => |args, value| args.add(value.to_vec());
    bytes::Bytes => |args, value| args.add(value.to_vec());
}

impl<T: Bind + Clone> Bind for &Option<T> {
    fn bind(self, args: &mut Args) {
        self.clone().bind(args);
    }

    fn bind_null(args: &mut Args) {
        T::bind_null(args);
    }
}
