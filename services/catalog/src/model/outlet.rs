//! Places where rooms are shown.

use contracts::id::{OutletId, PartnerId};
use kit::clock::Micros;

use super::version::Version;
use super::words::words;

words! {
    /// What an outlet is.
    Surface {
        /// The partner's own app.
        App = "APP",
        /// A mini program inside another app.
        MiniProgram = "MINI_PROGRAM",
        /// A web page.
        Web = "WEB",
    }
}

/// One place where a partner shows rooms. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlet {
    /// The outlet.
    pub outlet_id: OutletId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// What it is.
    pub surface: Surface,
    /// Its name for people.
    pub display_name: String,
    /// When it was registered.
    pub create_time: Micros,
}

impl Outlet {
    /// The version that every outlet has.
    pub const VERSION: Version = Version::FIRST;
}
