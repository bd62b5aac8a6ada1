//! What the entries of all feeds have in common.

use std::sync::LazyLock;

use crate::common::v1::FeedMeta;

/// An entry of some service's feed.
pub trait FeedMessage: prost::Message + Default + Clone + Send + Sync + 'static {
    /// Position, owner and time; all empty when the entry was not published yet.
    fn meta(&self) -> &FeedMeta;

    /// Sets position, owner and time.
    fn set_meta(&mut self, meta: FeedMeta);
}

static NOT_PUBLISHED: LazyLock<FeedMeta> = LazyLock::new(FeedMeta::default);

macro_rules! feed_messages {
    ($($entry:path),+ $(,)?) => {
        $(
            impl FeedMessage for $entry {
                fn meta(&self) -> &FeedMeta {
                    self.meta.as_ref().unwrap_or(&NOT_PUBLISHED)
                }

                fn set_meta(&mut self, meta: FeedMeta) {
                    self.meta = Some(meta);
                }
            }
        )+
    };
}

feed_messages!(
    crate::catalog::v1::CatalogFeedEntry,
    crate::room::v1::RoomFeedEntry,
    crate::order::v1::OrderFeedEntry,
    crate::fulfillment::v1::FulfillmentFeedEntry,
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::v1::OrderFeedEntry;

    #[test]
    fn an_entry_without_meta_has_an_empty_one() {
        let mut entry = OrderFeedEntry::default();
        assert_eq!(entry.meta(), &FeedMeta::default());

        let meta = FeedMeta {
            position: 7,
            ..FeedMeta::default()
        };
        entry.set_meta(meta.clone());
        assert_eq!(entry.meta(), &meta);
    }
}
