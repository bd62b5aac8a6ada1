//! Sealed text in a column that held readable text before.
//!
//! A sealed text says which key opens it, so that a column needs no second one beside it, and its constraints (not
//! empty, empty when forgotten) go on holding: `sealed-1:<key>:<base64>`. What does not have this form was written before
//! there were seals; a background step seals it (`substr(column, 1, 9) <> 'sealed-1:'` finds it).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use kit::errors::Fault;
use kit::seal::Place;

use crate::erasure::key_for;
use crate::keys::Owner;
use crate::{ShopperKeys, Tx};

const FORM: &str = "sealed-1:";

/// Seals a text for its place with the key of its owner. Nothing stays nothing.
pub async fn seal_text(
    tx: &mut Tx,
    owner: &Owner,
    place: Place<'_>,
    text: &str,
) -> Result<String, Fault> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let key = key_for(tx, owner).await?;
    let sealed = STANDARD_NO_PAD.encode(key.seal(place, text.as_bytes()));
    Ok(format!("{FORM}{}:{sealed}", key.id()))
}

/// The text of a column; none when its key is destroyed.
pub async fn open_text(
    keys: &ShopperKeys,
    place: Place<'_>,
    stored: &str,
) -> Result<Option<String>, Fault> {
    let Some((key_id, sealed)) = parts(stored) else {
        return Ok(Some(stored.to_owned()));
    };
    let Some(key) = keys.by_id(key_id).await? else {
        return Ok(None);
    };
    // What cannot be read is not quoted: it is personal data.
    let unreadable = || Fault::internal(format!("sealed text of {} cannot be read", place.table));
    let sealed = STANDARD_NO_PAD.decode(sealed).map_err(|_| unreadable())?;
    let text = key.open_text(place, &sealed).map_err(|_| unreadable())?;
    Ok(Some(text))
}

/// Whether a column's text is sealed.
pub fn is_sealed(stored: &str) -> bool {
    parts(stored).is_some()
}

/// The key's name and what it sealed.
fn parts(stored: &str) -> Option<(&str, &str)> {
    let (key_id, sealed) = stored.strip_prefix(FORM)?.split_once(':')?;
    key_id.starts_with("key-").then_some((key_id, sealed))
}
