//! Links into the retailer's shop, in a form that only this service can have written.
//!
//! A token is 121 bytes: version, link, listing and partner, a keyed digest of the shopper and one of the touchpoints,
//! the expiry, and an HMAC-SHA256 over all of it. The reference of the shopper itself is in no address: those end up in
//! logs and histories. What the link stands for is kept in its row; the token proves that we gave it out, unaltered.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::ErrorReason;
use contracts::id::{DeepLinkId, ListingId, PartnerId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::config::Config;
use crate::model::link::DeepLink;

/// The longest token that is looked at.
pub const TOKEN_CHARS_MAX: usize = 512;

/// The name under which the token stands in the address.
pub const PARAMETER: &str = "vitrine_link";

const VERSION: u8 = 1;
const ID_BYTES: usize = 16;
const DIGEST_BYTES: usize = 16;
const TAG_BYTES: usize = 32;
const BODY_BYTES: usize = 1 + 3 * ID_BYTES + 2 * DIGEST_BYTES + 8;
const SECRET_BYTES_MIN: usize = 32;

/// Keep the uses of the secret apart from each other and from any other.
const TOKEN_CONTEXT: &[u8] = b"vitrine.order.link.v1";
const SHOPPER_CONTEXT: &[u8] = b"vitrine.order.link.shopper.v1";
const TOUCHPOINTS_CONTEXT: &[u8] = b"vitrine.order.link.touchpoints.v1";

/// What a genuine token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkClaims {
    /// The link.
    pub deep_link_id: DeepLinkId,
    /// Where it leads.
    pub listing_id: ListingId,
    /// Who shows it.
    pub partner_id: PartnerId,
    /// Until when a click counts.
    pub expire_time: Micros,
}

impl LinkClaims {
    /// Whether the row of the link says the same. A token of another database with the same secret does not.
    pub fn fit(&self, link: &DeepLink) -> bool {
        self.deep_link_id == link.deep_link_id
            && self.listing_id == link.listing_id
            && self.partner_id == link.partner_id
            && self.expire_time == link.expire_time
    }
}

/// Writes links and reads their tokens.
#[derive(Debug)]
pub struct LinkSealer {
    current: Option<hmac::Key>,
    previous: Option<hmac::Key>,
    base_url: String,
    /// Addresses of legal entities that have a shop of their own.
    sites: Vec<(String, String)>,
}

impl LinkSealer {
    /// A sealer as configured. Without a secret or an address it refuses to make links, and everything else works.
    /// An error says what is wrong with the configuration.
    pub fn new(config: &Config) -> Result<Self, String> {
        Ok(LinkSealer {
            current: key("link_secret", config.link_secret.expose())?,
            previous: key("link_secret_previous", config.link_secret_previous.expose())?,
            base_url: config.link_base_url.clone(),
            sites: config
                .link_sites
                .iter()
                .map(|site| (site.legal_entity.clone(), site.base_url.clone()))
                .collect(),
        })
    }

    /// The address of a link.
    pub fn uri(&self, link: &DeepLink) -> Result<String, Fault> {
        let base = self.base_for(&link.legal_entity)?;
        let separator = if base.contains('?') { '&' } else { '?' };
        let token = self.seal(link)?;
        Ok(format!("{base}{separator}{PARAMETER}={token}"))
    }

    fn seal(&self, link: &DeepLink) -> Result<String, Fault> {
        let key = self.current_key()?;
        let touchpoints = serde_json::to_vec(&link.touchpoints).map_err(Fault::internal)?;
        let mut bytes = Vec::with_capacity(BODY_BYTES + TAG_BYTES);
        bytes.push(VERSION);
        for id in [
            link.deep_link_id.uuid(),
            link.listing_id.uuid(),
            link.partner_id.uuid(),
        ] {
            bytes.extend_from_slice(&id.to_be_bytes());
        }
        let shopper = [
            link.partner_id.as_str().as_bytes(),
            link.shopper_ref.as_bytes(),
        ];
        bytes.extend_from_slice(&digest(key, SHOPPER_CONTEXT, &shopper));
        bytes.extend_from_slice(&digest(key, TOUCHPOINTS_CONTEXT, &[&touchpoints]));
        bytes.extend_from_slice(&link.expire_time.0.to_be_bytes());
        let tag = hmac::sign(key, &[TOKEN_CONTEXT, &bytes].concat());
        bytes.extend_from_slice(tag.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What a token says, if this service wrote it.
    pub fn open(&self, token: &str) -> Result<LinkClaims, Refusal> {
        self.read(token).ok_or_else(bad_link)
    }

    fn read(&self, token: &str) -> Option<LinkClaims> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        if bytes.len() != BODY_BYTES + TAG_BYTES {
            return None;
        }
        let (body, tag) = bytes.split_at(BODY_BYTES);
        let signed = [TOKEN_CONTEXT, body].concat();
        self.current
            .iter()
            .chain(&self.previous)
            .find(|key| hmac::verify(key, &signed, tag).is_ok())?;
        let (version, rest) = body.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (ids, rest) = rest.split_at(3 * ID_BYTES);
        let id = |at: usize| -> Option<u128> {
            let bytes = ids.get(at * ID_BYTES..(at + 1) * ID_BYTES)?;
            Some(u128::from_be_bytes(bytes.try_into().ok()?))
        };
        let expire = rest.get(2 * DIGEST_BYTES..)?;
        Some(LinkClaims {
            deep_link_id: DeepLinkId::from_uuid(id(0)?),
            listing_id: ListingId::from_uuid(id(1)?),
            partner_id: PartnerId::from_uuid(id(2)?),
            expire_time: Micros(i64::from_be_bytes(expire.try_into().ok()?)),
        })
    }

    fn current_key(&self) -> Result<&hmac::Key, Refusal> {
        self.current.as_ref().ok_or_else(|| {
            no_address("No secret for deep links is configured here; the retailer's operators set order.link_secret.")
        })
    }

    fn base_for(&self, legal_entity: &str) -> Result<&str, Refusal> {
        let own = self
            .sites
            .iter()
            .find(|(entity, _)| entity == legal_entity)
            .map(|(_, base)| base.as_str());
        match own.unwrap_or(&self.base_url) {
            "" => Err(no_address(
                "No shop address for deep links is configured here; the retailer's operators set order.link_base_url.",
            )
            .with("legal_entity", legal_entity)),
            base if is_address(base) => Ok(base),
            _ => Err(no_address(
                "The shop address that is configured for deep links is none; the retailer's operators set \
                 order.link_base_url to an https address without a fragment.",
            )
            .with("legal_entity", legal_entity)),
        }
    }
}

/// The refusal of a token that is not ours.
pub fn bad_link() -> Refusal {
    Refusal::new(
        ErrorReason::BadLink,
        "The link_token is not of a link that this service gave out; send it as it came with the shopper.",
    )
}

fn no_address(message: &str) -> Refusal {
    Refusal::new(ErrorReason::NoLinkAddress, message)
}

/// An https address that a parameter can be put behind.
fn is_address(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else {
        return false;
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    !host.is_empty()
        && rest.chars().all(|letter| {
            letter.is_ascii_graphic() && !matches!(letter, '#' | '"' | '<' | '>' | '\\')
        })
}

/// The first half of a keyed digest of parts that cannot run into each other.
fn digest(key: &hmac::Key, context: &[u8], parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut signed = context.to_vec();
    for part in parts {
        signed.extend_from_slice(&(part.len() as u64).to_be_bytes());
        signed.extend_from_slice(part);
    }
    let tag = hmac::sign(key, &signed);
    let mut half = [0; DIGEST_BYTES];
    half.copy_from_slice(&tag.as_ref()[..DIGEST_BYTES]);
    half
}

fn key(field: &str, secret: &str) -> Result<Option<hmac::Key>, String> {
    match secret.len() {
        0 => Ok(None),
        length if length < SECRET_BYTES_MIN => Err(format!(
            "order.{field} must have at least {SECRET_BYTES_MIN} characters"
        )),
        _ => Ok(Some(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use contracts::id::{OutletId, RoomId};
    use proptest::prelude::*;

    use super::*;
    use crate::config::LinkSite;
    use crate::model::Touchpoint;

    const OLD: &str = "an old secret of more than 32 characters";
    const NEW: &str = "a new secret of more than 32 characters, too";

    fn config(secret: &str, previous: &str) -> Config {
        Config {
            link_secret: secret.into(),
            link_secret_previous: previous.into(),
            link_base_url: "https://shop.example/live".into(),
            ..Config::default()
        }
    }

    fn sealer(secret: &str, previous: &str) -> LinkSealer {
        LinkSealer::new(&config(secret, previous)).expect("good secrets")
    }

    fn link() -> DeepLink {
        DeepLink {
            deep_link_id: DeepLinkId::from_uuid(1),
            partner_id: PartnerId::from_uuid(2),
            listing_id: ListingId::from_uuid(3),
            shopper_ref: "ann".into(),
            touchpoints: vec![Touchpoint {
                outlet_id: Some(OutletId::from_uuid(4)),
                room_id: Some(RoomId::from_uuid(5)),
                creator_id: None,
                surface: "live_card".into(),
                media_time_ms: 6,
                touch_time: None,
            }],
            terms_version: 7,
            commission_basis_points: 800,
            legal_entity: "Maison SA".into(),
            create_time: Micros(9),
            expire_time: Micros(10),
        }
    }

    fn token(sealer: &LinkSealer) -> String {
        let uri = sealer.uri(&link()).expect("an address");
        let (base, token) = uri.split_once("?vitrine_link=").expect("the parameter");
        assert_eq!(base, "https://shop.example/live");
        token.to_owned()
    }

    #[test]
    fn opens_what_it_sealed_and_what_the_former_secret_sealed() {
        let old = token(&sealer(OLD, ""));
        assert_eq!(old.len(), 162, "compact enough for any address");
        assert!(!old.contains("ann"));
        for reader in [sealer(OLD, ""), sealer(NEW, OLD)] {
            assert!(reader.open(&old).expect("ours").fit(&link()));
        }
        let refused = sealer(NEW, "").open(&old).expect_err("another's");
        assert_eq!(refused.reason, ErrorReason::BadLink);
        assert!(!sealer(OLD, "").open(&old).expect("ours").fit(&DeepLink {
            expire_time: Micros(11),
            ..link()
        }));
    }

    #[test]
    fn who_and_what_led_here_is_in_the_token_without_being_readable() {
        let sealer = sealer(OLD, "");
        let other_shopper = DeepLink {
            shopper_ref: "bob".into(),
            ..link()
        };
        let other_way = DeepLink {
            touchpoints: Vec::new(),
            ..link()
        };
        let [one, shopper, way] =
            [link(), other_shopper, other_way].map(|link| sealer.uri(&link).expect("a link"));
        assert!(one != shopper && one != way && shopper != way);
    }

    #[test]
    fn what_is_not_configured_is_said() {
        let nothing = LinkSealer::new(&Config::default()).expect("nothing is fine");
        let reason = |sealer: &LinkSealer| match sealer.uri(&link()) {
            Err(Fault::Refused(refusal)) => refusal.reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(&nothing), ErrorReason::NoLinkAddress);
        for base in [
            "",
            "http://shop.example",
            "https://",
            "https://a b",
            "https://shop.example/#top",
            "shop",
        ] {
            let sealer = LinkSealer::new(&Config {
                link_base_url: base.into(),
                ..config(OLD, "")
            })
            .expect("a secret");
            assert_eq!(reason(&sealer), ErrorReason::NoLinkAddress, "{base}");
        }
        assert!(LinkSealer::new(&config("short", "")).is_err());
        assert!(LinkSealer::new(&config(OLD, "short")).is_err());
    }

    #[test]
    fn a_legal_entity_may_have_a_shop_of_its_own() {
        let sealer = LinkSealer::new(&Config {
            link_sites: vec![LinkSite {
                legal_entity: "Maison SA".into(),
                base_url: "https://maison.example/?lang=fr".into(),
            }],
            ..config(OLD, "")
        })
        .expect("good");
        let uri = sealer.uri(&link()).expect("a link");
        assert!(
            uri.starts_with("https://maison.example/?lang=fr&vitrine_link="),
            "{uri}"
        );
        let other = DeepLink {
            legal_entity: "Other SA".into(),
            ..link()
        };
        assert!(
            sealer
                .uri(&other)
                .expect("a link")
                .starts_with("https://shop.example/live?vitrine_link=")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// A letter changed, taken out or put in, two letters swapped, the end cut off: none of it is ours.
        #[test]
        fn no_altered_token_is_accepted(
            at in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_-]", how in 0..5,
        ) {
            let sealer = sealer(OLD, NEW);
            let token = token(&sealer);
            let (at, to) = (at.index(token.len()), to.index(token.len()));
            let mut letters: Vec<char> = token.chars().collect();
            let letter = letter.chars().next().expect("one letter");
            match how {
                0 => letters[at] = letter,
                1 => { letters.remove(at); }
                2 => letters.insert(at, letter),
                3 => letters.swap(at, to),
                _ => letters.truncate(at),
            }
            let altered: String = letters.into_iter().collect();
            prop_assume!(altered != token);
            prop_assert!(sealer.open(&altered).is_err());
        }

        #[test]
        fn garbage_is_refused(text in "\\PC{0,300}") {
            prop_assert!(sealer(OLD, "").open(&text).is_err());
        }
    }
}
