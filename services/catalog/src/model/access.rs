//! How a partner is let in: the issuer of its tokens, its scopes and quotas, its token keys and client certificates.

use std::time::Duration;

use contracts::id::{ClientCertificateId, PartnerId, TokenKeyId};
use kit::clock::Micros;
use kit::errors::{ErrorReason, Refusal};

use super::version::Version;
use super::words::words;

/// The most token keys of a partner that are not revoked, and the most client certificates.
pub const CREDENTIALS_MAX: usize = 16;

/// How far ahead the end of a key may be set. Whoever forgets a key finds it gone.
pub const RETIRE_WITHIN: Duration = Duration::from_secs(90 * 24 * 60 * 60);

words! {
    /// Whether tokens signed with a key are accepted.
    TokenKeyState {
        /// Accepted.
        Active = "ACTIVE",
        /// Accepted until its time.
        Retiring = "RETIRING",
        /// Refused.
        Revoked = "REVOKED",
    }
}

words! {
    /// Whether a client certificate is accepted.
    CertificateState {
        /// Accepted between its times.
        Active = "ACTIVE",
        /// Refused.
        Revoked = "REVOKED",
    }
}

/// How much a partner may ask for; 0 for the server's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Calls a second.
    pub calls_per_second: i64,
    /// Calls under way at a time.
    pub concurrent_calls: i64,
    /// Orders placed a second.
    pub placements_per_second: i64,
}

/// How a partner is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerAccess {
    /// The partner.
    pub partner_id: PartnerId,
    /// The `iss` of the tokens that it signs itself; empty when it signs none.
    pub issuer_name: String,
    /// The scopes that its tokens may use; none for all.
    pub allowed_scopes: Vec<String>,
    /// How much it may ask for.
    pub quotas: Quotas,
    /// Counts the changes of all of this, from 0 for a partner that was only registered.
    pub version: Version,
    /// When it was last changed.
    pub update_time: Micros,
    /// The keys that are not revoked.
    pub keys: Vec<TokenKey>,
    /// The certificates that are not revoked.
    pub certificates: Vec<ClientCertificate>,
}

/// What changes; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessChange {
    /// Another issuer.
    pub issuer_name: Option<String>,
    /// Other scopes.
    pub allowed_scopes: Option<Vec<String>>,
    /// Other quotas.
    pub quotas: Option<Quotas>,
}

impl PartnerAccess {
    /// The one of a partner that was registered and nothing else.
    pub fn untouched(partner_id: PartnerId, create_time: Micros) -> Self {
        PartnerAccess {
            partner_id,
            issuer_name: String::new(),
            allowed_scopes: Vec::new(),
            quotas: Quotas::default(),
            version: Version(0),
            update_time: create_time,
            keys: Vec::new(),
            certificates: Vec::new(),
        }
    }

    /// Takes over what changes.
    pub fn change(&mut self, change: &AccessChange) {
        if let Some(name) = &change.issuer_name {
            self.issuer_name.clone_from(name);
        }
        if let Some(scopes) = &change.allowed_scopes {
            self.allowed_scopes.clone_from(scopes);
        }
        if let Some(quotas) = change.quotas {
            self.quotas = quotas;
        }
    }

    /// Counts a change of it, or of what is under it.
    pub fn touch(&mut self, now: Micros) {
        self.version = self.version.next();
        self.update_time = now;
    }

    /// Refuses one key more than a partner may have.
    pub fn require_room_for_key(&self) -> Result<(), Refusal> {
        require_room(
            self.keys.len(),
            "token keys",
            "retire and revoke old ones first",
        )
    }

    /// Refuses one certificate more than a partner may have.
    pub fn require_room_for_certificate(&self) -> Result<(), Refusal> {
        require_room(
            self.certificates.len(),
            "client certificates",
            "revoke old ones first",
        )
    }

    /// Refuses to take away the last key that is accepted without an end.
    pub fn require_successor(&self, of: &TokenKeyId) -> Result<(), Refusal> {
        let successor =
            |key: &TokenKey| key.state == TokenKeyState::Active && key.token_key_id != *of;
        if self.keys.iter().any(successor) {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorReason::WrongState,
            "This is the partner's only ACTIVE token key; add its successor first, then retire it, or revoke it to end its use at once.",
        )
        .because("STATE", "token_key", TokenKeyState::Active.word()))
    }
}

fn require_room(held: usize, what: &str, remedy: &str) -> Result<(), Refusal> {
    if held < CREDENTIALS_MAX {
        return Ok(());
    }
    let message = format!(
        "The partner has {held} {what} that are not revoked, the most it may have; {remedy}."
    );
    Err(Refusal::new(ErrorReason::WrongState, message).because("STATE", "partner_access", "FULL"))
}

/// A key that a partner signs its tokens with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// The key.
    pub token_key_id: TokenKeyId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Its name in the tokens; unique among the partner's keys, revoked ones too.
    pub kid: String,
    /// The key itself, as the JSON of a JWK.
    pub public_key_jwk: String,
    /// Whether it is accepted.
    pub state: TokenKeyState,
    /// Why it was revoked; empty when it was not.
    pub revoke_reason: String,
    /// How often it was changed.
    pub version: Version,
    /// When it was added.
    pub create_time: Micros,
    /// Until when it is accepted.
    pub retire_time: Option<Micros>,
    /// When it was revoked.
    pub revoke_time: Option<Micros>,
}

impl TokenKey {
    /// Accepts it until a time only. A key that retires already may be given another time.
    pub fn retire(&mut self, until: Micros, now: Micros) -> Result<(), Refusal> {
        self.require_not_revoked()?;
        if until <= now || until > now.plus(RETIRE_WITHIN) {
            return Err(Refusal::invalid(
                "retire_time",
                "must be after now and at most 90 days ahead.",
            ));
        }
        self.state = TokenKeyState::Retiring;
        self.retire_time = Some(until);
        self.version = self.version.next();
        Ok(())
    }

    /// Refuses its tokens from now on, for good.
    pub fn revoke(&mut self, reason: &str, now: Micros) -> Result<(), Refusal> {
        self.require_not_revoked()?;
        self.state = TokenKeyState::Revoked;
        self.revoke_reason = reason.to_owned();
        self.revoke_time = Some(now);
        self.version = self.version.next();
        Ok(())
    }

    fn require_not_revoked(&self) -> Result<(), Refusal> {
        match self.state {
            TokenKeyState::Active | TokenKeyState::Retiring => Ok(()),
            TokenKeyState::Revoked => Err(Refusal::wrong_state(
                "token_key",
                self.state,
                "The token key is revoked already; nothing was changed.",
            )),
        }
    }
}

/// A client certificate of a partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate.
    pub client_certificate_id: ClientCertificateId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// SHA-256 in 64 hexadecimal digits; empty when it is known by its SPIFFE id only.
    pub sha256_fingerprint: String,
    /// One of its URI names; empty when it is known by its fingerprint only.
    pub spiffe_id: String,
    /// From when it is accepted.
    pub start_time: Option<Micros>,
    /// Until when it is accepted.
    pub expire_time: Option<Micros>,
    /// Whether it is accepted.
    pub state: CertificateState,
    /// Why it was revoked; empty when it was not.
    pub revoke_reason: String,
    /// When it was added.
    pub create_time: Micros,
    /// When it was revoked.
    pub revoke_time: Option<Micros>,
}

impl ClientCertificate {
    /// A certificate changes only once, so its version follows from its state.
    pub fn version(&self) -> Version {
        match self.state {
            CertificateState::Active => Version::FIRST,
            CertificateState::Revoked => Version::FIRST.next(),
        }
    }

    /// Refuses it from now on, for good.
    pub fn revoke(&mut self, reason: &str, now: Micros) -> Result<(), Refusal> {
        if self.state == CertificateState::Revoked {
            return Err(Refusal::wrong_state(
                "client_certificate",
                self.state,
                "The client certificate is revoked already; nothing was changed.",
            ));
        }
        self.state = CertificateState::Revoked;
        self.revoke_reason = reason.to_owned();
        self.revoke_time = Some(now);
        Ok(())
    }
}

/// SHA-256 of a certificate as tools print it: with colons or without, in capitals or not.
pub fn fingerprint(text: &str) -> Option<String> {
    let plain: String = text
        .chars()
        .filter(|letter| *letter != ':')
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    let is_hex = plain.len() == 64 && plain.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then_some(plain)
}

/// What is wrong with a SPIFFE id; ends the sentence "Field spiffe_id: …".
pub fn spiffe_problem(name: &str) -> Option<&'static str> {
    let Some(rest) = name.strip_prefix("spiffe://") else {
        return Some("must begin with spiffe://, such as spiffe://partner.example/shop.");
    };
    let (domain, path) = rest.split_once('/').unwrap_or((rest, ""));
    let in_domain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    let in_path = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let segment =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(in_path);
    let is_whole = !domain.is_empty()
        && domain.bytes().all(in_domain)
        && !path.is_empty()
        && path.split('/').all(segment);
    (!is_whole)
        .then_some("must be a trust domain and a path, such as spiffe://partner.example/shop.")
}

/// What is wrong with the name of a key; ends the sentence "Field kid: …". What a token's header may not say would never
/// be found.
pub fn kid_problem(kid: &str) -> Option<&'static str> {
    let is_plain = kid.bytes().all(|byte| byte.is_ascii_graphic())
        && !kid.starts_with('/')
        && !kid.contains("..")
        && !kid.contains(['\\', '%']);
    (!is_plain).then_some(
        "may have printable ASCII without spaces, `..`, `\\` and `%`, and no `/` in front.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u128) -> TokenKey {
        TokenKey {
            token_key_id: TokenKeyId::from_uuid(number),
            partner_id: PartnerId::from_uuid(1),
            kid: format!("k{number}"),
            public_key_jwk: "{}".into(),
            state: TokenKeyState::Active,
            revoke_reason: String::new(),
            version: Version::FIRST,
            create_time: Micros(1),
            retire_time: None,
            revoke_time: None,
        }
    }

    #[test]
    fn a_key_retires_and_is_revoked_for_good() {
        let now = Micros(1_000_000);
        let mut one = key(1);
        let late = now.plus(RETIRE_WITHIN).plus(Duration::from_secs(1));
        for wrong in [now, Micros(0), late] {
            let refusal = one.retire(wrong, now).expect_err("not then");
            assert_eq!(refusal.reason, ErrorReason::InvalidField);
        }
        let until = now.plus(Duration::from_secs(60));
        assert_eq!(one.retire(until, now), Ok(()));
        assert_eq!(
            (one.state, one.retire_time),
            (TokenKeyState::Retiring, Some(until))
        );
        // Another time will do as well.
        assert_eq!(one.retire(until.plus(Duration::from_secs(1)), now), Ok(()));
        assert_eq!(one.revoke("lost", now), Ok(()));
        assert_eq!(
            (one.state, one.version),
            (TokenKeyState::Revoked, Version(4))
        );
        let before = one.clone();
        assert!(one.revoke("again", now).is_err() && one.retire(until, now).is_err());
        assert_eq!(one, before);
    }

    #[test]
    fn the_last_key_needs_a_successor_and_there_is_a_most() {
        let mut access = PartnerAccess::untouched(PartnerId::from_uuid(1), Micros(1));
        access.keys = vec![key(1)];
        assert!(access.require_successor(&TokenKeyId::from_uuid(1)).is_err());
        access.keys.push(key(2));
        assert_eq!(access.require_successor(&TokenKeyId::from_uuid(1)), Ok(()));
        access.keys[1]
            .retire(Micros(9), Micros(1))
            .expect("retired");
        assert!(access.require_successor(&TokenKeyId::from_uuid(1)).is_err());
        assert_eq!(access.require_room_for_key(), Ok(()));
        access.keys = (0..16).map(key).collect();
        let refusal = access.require_room_for_key().expect_err("full");
        assert_eq!(refusal.reason, ErrorReason::WrongState);
    }

    #[test]
    fn names_are_plain() {
        assert_eq!(fingerprint(&"AB:".repeat(31)), None);
        let printed = format!("{}AB", "AB:".repeat(31));
        assert_eq!(fingerprint(&printed), Some("ab".repeat(32)));
        assert_eq!(fingerprint(&"g".repeat(64)), None);
        for good in ["spiffe://p.example/shop", "spiffe://p/a/b-c_d.1"] {
            assert_eq!(spiffe_problem(good), None, "{good}");
        }
        for bad in [
            "",
            "https://p/a",
            "spiffe://",
            "spiffe://p",
            "spiffe://p/",
            "spiffe:///a",
            "spiffe://p/../a",
            "spiffe://P/a",
            "spiffe://p/a?b",
            "spiffe://p/a/",
            "spiffe://p:1/a",
            "spiffe://u@p/a",
        ] {
            assert!(spiffe_problem(bad).is_some(), "{bad}");
        }
        for bad in ["a b", "../k", "/k", "a%2e", "a\\b", "é"] {
            assert!(kid_problem(bad).is_some(), "{bad}");
        }
        assert_eq!(kid_problem("2026-11/a+b="), None);
    }
}
