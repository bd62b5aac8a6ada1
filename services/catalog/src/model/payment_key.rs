//! The public keys that payment statements are checked with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::id::{PartnerId, PaymentKeyId};
use kit::auth::jws::{Algorithm, PublicKey};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::version::Version;
use super::words::words;

/// The longest RSA modulus that is accepted: larger ones only cost time at every payment.
const MAX_RSA_BYTES: usize = 512;

/// Members that only private keys have (RFC 7518, 6.2.2 and 6.3.2).
const PRIVATE_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

words! {
    /// Whether statements signed with a key are accepted.
    PaymentKeyState {
        /// Accepted.
        Active = "ACTIVE",
        /// Refused.
        Revoked = "REVOKED",
    }
}

/// A public key of a partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentKey {
    /// The key.
    pub payment_key_id: PaymentKeyId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// The name that statements call it by; unique among the partner's keys, revoked ones too.
    pub kid: String,
    /// The key itself, as the JSON of a JWK.
    pub public_key_jwk: String,
    /// Whether it is accepted.
    pub state: PaymentKeyState,
    /// Why it was revoked; empty when it was not.
    pub revoke_reason: String,
    /// When it was added.
    pub create_time: Micros,
    /// When it was revoked.
    pub revoke_time: Option<Micros>,
}

impl PaymentKey {
    /// A key changes only once, so its version follows from its state.
    pub fn version(&self) -> Version {
        match self.state {
            PaymentKeyState::Active => Version::FIRST,
            PaymentKeyState::Revoked => Version::FIRST.next(),
        }
    }

    /// Refuses its statements from now on, for good.
    pub fn revoke(&mut self, reason: &str, now: Micros) -> Result<(), Refusal> {
        if self.state == PaymentKeyState::Revoked {
            return Err(Refusal::wrong_state(
                "payment_key",
                self.state,
                "The payment key is revoked already; nothing was changed.",
            ));
        }
        self.state = PaymentKeyState::Revoked;
        self.revoke_reason = reason.to_owned();
        self.revoke_time = Some(now);
        Ok(())
    }
}

/// What is wrong with a JWK that is to be known as `kid`; ends the sentence "Field public_key_jwk: …".
pub fn jwk_problem(jwk: &str, kid: &str) -> Option<String> {
    let value: serde_json::Value = match serde_json::from_str(jwk) {
        Ok(value @ serde_json::Value::Object(_)) => value,
        _ => return Some("must be one JWK, an object in JSON.".into()),
    };
    if PRIVATE_MEMBERS.iter().any(|name| value.get(name).is_some()) {
        return Some(
            "holds a private key, which is compromised now; make a new one and send its public half."
                .into(),
        );
    }
    let key = match PublicKey::from_jwk_value(&value) {
        Ok(key) => key,
        Err(error) => return Some(format!("cannot be used ({error}).")),
    };
    if key.algorithm() == Algorithm::Rs256 && modulus_bytes(&value) > MAX_RSA_BYTES {
        return Some("must have an RSA modulus of at most 4096 bits.".into());
    }
    // Statements name the key by its kid; a key that calls itself otherwise would never fit one.
    match key.kid() {
        Some(own) if own != kid => {
            Some("has a kid of its own that is not the kid of this call.".into())
        }
        _ => None,
    }
}

fn modulus_bytes(jwk: &serde_json::Value) -> usize {
    let modulus = jwk.get("n").and_then(serde_json::Value::as_str);
    let bytes = modulus.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    bytes.map_or(0, |bytes| {
        bytes.iter().skip_while(|byte| **byte == 0).count()
    })
}

#[cfg(test)]
mod tests {
    use kit::auth::SigningKey;
    use kit::errors::ErrorReason;

    use super::*;

    fn ed25519(kid: &str) -> serde_json::Value {
        let mut jwk = SigningKey::from_seed(&[7; 32]).public_jwk();
        jwk["kid"] = kid.into();
        jwk
    }

    fn rsa(bits: usize) -> serde_json::Value {
        let modulus = URL_SAFE_NO_PAD.encode(vec![0xff; bits / 8]);
        serde_json::json!({ "kty": "RSA", "n": modulus, "e": "AQAB" })
    }

    #[test]
    fn keys_that_statements_can_be_checked_with_pass() {
        assert_eq!(jwk_problem(&ed25519("k1").to_string(), "k1"), None);
        let mut nameless = ed25519("k1");
        nameless.as_object_mut().expect("an object").remove("kid");
        assert_eq!(jwk_problem(&nameless.to_string(), "any"), None);
        for bits in [2_048, 4_096] {
            assert_eq!(jwk_problem(&rsa(bits).to_string(), "r"), None, "{bits}");
        }
    }

    #[test]
    fn other_keys_do_not() {
        let mut private = ed25519("k1");
        private["d"] = "AA".into();
        let mut half_private = rsa(2_048);
        half_private["p"] = "AA".into();
        let mut encryption = ed25519("k1");
        encryption["use"] = "enc".into();
        let symmetric = serde_json::json!({ "kty": "oct", "k": "AA", "kid": "k1" });
        let set = serde_json::json!([ed25519("k1")]);
        for (jwk, word) in [
            (private, "private"),
            (half_private, "private"),
            (encryption, "cannot be used"),
            (symmetric, "cannot be used"),
            (rsa(1_024), "cannot be used"),
            (rsa(4_104), "4096"),
            (ed25519("other"), "kid"),
            (set, "object"),
        ] {
            let problem = jwk_problem(&jwk.to_string(), "k1").expect("a problem");
            assert!(problem.contains(word), "{problem}");
            assert!(problem.ends_with('.'), "{problem}");
        }
        assert!(jwk_problem("not json", "k1").is_some());
    }

    #[test]
    fn is_revoked_once_and_for_good() {
        let mut key = PaymentKey {
            payment_key_id: PaymentKeyId::from_uuid(1),
            partner_id: PartnerId::from_uuid(1),
            kid: "k1".into(),
            public_key_jwk: ed25519("k1").to_string(),
            state: PaymentKeyState::Active,
            revoke_reason: String::new(),
            create_time: Micros(1),
            revoke_time: None,
        };
        assert_eq!(key.version(), Version(1));
        assert_eq!(key.revoke("lost", Micros(2)), Ok(()));
        assert_eq!(
            (key.version(), key.revoke_time),
            (Version(2), Some(Micros(2)))
        );
        let before = key.clone();
        assert_eq!(
            key.revoke("again", Micros(3)).expect_err("revoked").reason,
            ErrorReason::WrongState
        );
        assert_eq!(key, before);
    }
}
