//! What is known of the partners, in memory: whether they are suspended, what they may ask for, and the keys and
//! certificates that they are recognised by.
//!
//! The catalogue says what counts; every process follows its feed and tells its [`PartnerDirectory`]. The layers ask
//! it at every call, so a look costs two hash look-ups and no lock. Of two words about a partner the one with the
//! larger revision counts, in whatever order they come.
//!
//! A partner that the directory does not know is treated as the configuration says: it has no ceiling of scopes, no
//! quota and no key of its own, and it is not suspended.

mod contract;
mod known;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use contracts::id::PartnerId;
use tokio::sync::watch;

pub use known::{Access, Known, News, Pin, Pinned, Quotas, TokenKey};

use crate::auth::Issuer;
use crate::clock::Micros;

/// The partners, as this process knows them. Cheap to clone; all clones are one directory.
#[derive(Clone)]
pub struct PartnerDirectory {
    inner: Arc<Inner>,
}

struct Inner {
    table: ArcSwap<Table>,
    /// Held while the table is replaced, never while it is read.
    write: Mutex<()>,
    is_loaded: AtomicBool,
    changes: watch::Sender<u64>,
}

#[derive(Clone, Default)]
struct Table {
    partners: HashMap<PartnerId, Arc<Known>>,
    issuers: HashMap<String, PartnerId>,
}

impl Default for PartnerDirectory {
    fn default() -> Self {
        PartnerDirectory::new()
    }
}

impl std::fmt::Debug for PartnerDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartnerDirectory")
            .field("partners", &self.len())
            .field("is_loaded", &self.is_loaded())
            .finish()
    }
}

impl PartnerDirectory {
    /// A directory that knows nobody and that nobody has to fill.
    pub fn new() -> Self {
        Self::with(true)
    }

    /// A directory that has to be filled first: until [`PartnerDirectory::loaded`] is called nobody can tell who is
    /// suspended, and partners are asked to come back.
    pub fn to_be_loaded() -> Self {
        Self::with(false)
    }

    fn with(is_loaded: bool) -> Self {
        PartnerDirectory {
            inner: Arc::new(Inner {
                table: ArcSwap::default(),
                write: Mutex::new(()),
                is_loaded: AtomicBool::new(is_loaded),
                changes: watch::Sender::new(0),
            }),
        }
    }

    /// It has been filled with what is known.
    pub fn loaded(&self) {
        self.inner.is_loaded.store(true, Ordering::Release);
    }

    /// Whether it has been filled.
    pub fn is_loaded(&self) -> bool {
        self.inner.is_loaded.load(Ordering::Acquire)
    }

    /// How many partners are known.
    pub fn len(&self) -> usize {
        self.inner.table.load().partners.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in what is new; what is older than what is known changes nothing.
    pub fn learn(&self, news: impl IntoIterator<Item = News>) {
        let inner = &*self.inner;
        // A panic in here leaves the old table, which is whole.
        let _writing = inner.write.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&inner.table.load());
        let mut is_changed = false;
        for news in news {
            is_changed |= table.learn(news);
        }
        if is_changed {
            inner.table.store(Arc::new(table));
            inner
                .changes
                .send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// What is known of a partner.
    pub fn of(&self, partner_id: &PartnerId) -> Option<Arc<Known>> {
        self.inner.table.load().partners.get(partner_id).cloned()
    }

    /// Whether a partner is suspended.
    pub fn is_suspended(&self, partner_id: &PartnerId) -> bool {
        let table = self.inner.table.load();
        let known = table.partners.get(partner_id);
        known.is_some_and(|known| known.suspended)
    }

    /// Ends when the partner is suspended; at once when it is.
    pub fn suspension(&self, partner_id: PartnerId) -> impl Future<Output = ()> + Send + 'static {
        let directory = self.clone();
        async move {
            // Subscribed before the first look, so that no change falls between the two.
            let mut changes = directory.inner.changes.subscribe();
            while !directory.is_suspended(&partner_id) {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// The partner that signs its tokens under this name, as an issuer with its keys.
    pub fn issuer(&self, name: &str) -> Option<Arc<Issuer>> {
        let table = self.inner.table.load();
        let partner_id = table.issuers.get(name)?;
        table.partners.get(partner_id)?.issuer.clone()
    }

    /// Whether a certificate that was shown with a partner's token is one of the partner's. `uris` are the
    /// certificate's URI names. That the certificate itself is good was checked in the handshake.
    pub fn certificate(
        &self,
        partner_id: &PartnerId,
        sha256: &[u8; 32],
        uris: &[&str],
        now: Micros,
    ) -> Pinned {
        let table = self.inner.table.load();
        match table.partners.get(partner_id) {
            Some(known) => known.access.pinned(sha256, uris, now),
            None => Pinned::Nothing,
        }
    }
}

impl Table {
    fn learn(&mut self, news: News) -> bool {
        let partner_id = news.partner_id();
        let before = self.partners.get(&partner_id);
        let Some(after) = Known::after(before.map(|known| &**known), news) else {
            return false;
        };
        let old_name = before.map(|known| known.access.issuer_name.clone());
        let new_name = after.access.issuer_name.clone();
        if old_name.as_ref() != Some(&new_name) {
            if let Some(old_name) = old_name
                && self.issuers.get(&old_name) == Some(&partner_id)
            {
                self.issuers.remove(&old_name);
            }
            if !new_name.is_empty() {
                self.issuers.insert(new_name, partner_id);
            }
        }
        self.partners.insert(partner_id, Arc::new(after));
        true
    }
}

#[cfg(test)]
mod tests;
