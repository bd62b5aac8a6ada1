//! Pages of lists: a size within bounds and an opaque token that belongs to one query.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::errors::{ErrorReason, Refusal};

/// A longer token is none of ours.
const MAX_TOKEN_BYTES: usize = 2_048;

/// Which page of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many items at most.
    pub size: u32,
    /// The sort key of the last item of the page before; none for the first page.
    pub after: Option<Vec<String>>,
    query: String,
}

impl Page {
    /// The page that a list request asks for. No size means `default`; more than `max` means `max`.
    ///
    /// `query` is everything else that decides which items there are, and in which order: method,
    /// caller, filters. A token of another query is refused, so that a page never skips or repeats.
    pub fn parse(
        page_size: i32,
        page_token: &str,
        default: u32,
        max: u32,
        query: &str,
    ) -> Result<Page, Refusal> {
        let asked = u32::try_from(page_size).map_err(|_| {
            Refusal::invalid(
                "page_size",
                "must not be negative; leave it 0 for the default.",
            )
        })?;
        let size = if asked == 0 { default } else { asked }.clamp(1, max.max(1));
        let query = fingerprint(query);
        let after = if page_token.is_empty() {
            None
        } else {
            Some(open(page_token, &query)?)
        };
        Ok(Page { size, after, query })
    }

    /// How many rows to read: one more than the page, to learn whether there is another.
    pub fn limit(&self) -> i64 {
        i64::from(self.size) + 1
    }

    /// The sort key to go on after, one text per column, when it has `columns` of them.
    pub fn after_key(&self, columns: usize) -> Result<Option<&[String]>, Refusal> {
        match &self.after {
            Some(key) if key.len() != columns => Err(bad_token()),
            key => Ok(key.as_deref()),
        }
    }

    /// The token of the page after the item with this sort key.
    pub fn next_token<K: AsRef<str>>(&self, key: &[K]) -> String {
        let parts: Vec<&str> = std::iter::once(self.query.as_str())
            .chain(key.iter().map(AsRef::as_ref))
            .collect();
        URL_SAFE_NO_PAD.encode(serde_json::json!(parts).to_string())
    }

    /// Cuts rows read with [`Page::limit`] to the page and gives the token of the next one; empty at the end.
    pub fn cut<T, K: AsRef<str>>(
        &self,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> Vec<K>,
    ) -> (Vec<T>, String) {
        let size = self.size as usize;
        if rows.len() <= size {
            return (rows, String::new());
        }
        rows.truncate(size);
        let token = rows
            .last()
            .map(|last| self.next_token(&key(last)))
            .unwrap_or_default();
        (rows, token)
    }
}

fn open(token: &str, query: &str) -> Result<Vec<String>, Refusal> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(bad_token());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad_token())?;
    let mut parts: Vec<String> = serde_json::from_slice(&bytes).map_err(|_| bad_token())?;
    // PostgreSQL refuses NUL in text; such a key was never ours.
    if parts.first().is_none_or(|first| first != query)
        || parts.iter().any(|part| part.contains('\0'))
    {
        return Err(bad_token());
    }
    parts.remove(0);
    Ok(parts)
}

fn bad_token() -> Refusal {
    Refusal::new(
        ErrorReason::BadPageToken,
        "The page_token is not one of this query; send the same request again without it.",
    )
}

fn fingerprint(query: &str) -> String {
    hex::encode(&Sha256::digest(query.as_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_kept_within_bounds() {
        let size = |asked| Page::parse(asked, "", 50, 200, "q").map(|page| page.size);
        assert_eq!((size(0), size(7), size(9_999)), (Ok(50), Ok(7), Ok(200)));
        assert_eq!(
            size(-1).expect_err("negative").reason,
            ErrorReason::InvalidField
        );
    }

    #[test]
    fn a_token_belongs_to_its_query() {
        let first = Page::parse(2, "", 50, 200, "orders|partner_1").expect("first page");
        let (rows, token) = first.cut(vec![1, 2, 3], |row| vec![row.to_string()]);
        assert_eq!(rows, [1, 2]);
        let next = Page::parse(2, &token, 50, 200, "orders|partner_1").expect("next page");
        assert_eq!(next.after_key(1), Ok(Some(&["2".to_owned()][..])));
        assert!(next.after_key(2).is_err());
        let foreign =
            Page::parse(2, &token, 50, 200, "orders|partner_2").expect_err("another query");
        assert_eq!(foreign.reason, ErrorReason::BadPageToken);
        assert_eq!(
            next.cut(vec![3], |row| vec![row.to_string()]),
            (vec![3], String::new())
        );
    }

    proptest! {
        #[test]
        fn keys_survive_and_garbage_is_refused(key in proptest::collection::vec("[^\0]{0,20}", 0..4), junk in ".{1,40}") {
            let page = Page::parse(1, "", 1, 1, "q").expect("first page");
            let token = page.next_token(&key);
            let back = Page::parse(1, &token, 1, 1, "q").expect("our own token");
            prop_assert_eq!(back.after, Some(key));
            prop_assert!(Page::parse(1, &junk, 1, 1, "q").is_err());
        }
    }
}
