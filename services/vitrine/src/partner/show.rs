//! Partners as people and programs read them.

use comfy_table::Cell;
use contracts::catalog::v1::*;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::ops::table;

/// What partners are told of the suite.
pub(super) struct About {
    /// Where it answers, as far as the tool knows.
    pub(super) endpoint: String,
    /// The `aud` of tokens.
    pub(super) audience: String,
    /// The longest life of a token.
    pub(super) token_life_s: u64,
}

/// One partner and how it is let in.
pub(super) struct Shown {
    pub(super) partner: Partner,
    pub(super) access: PartnerAccess,
    pub(super) payment_keys: Vec<PaymentKey>,
}

pub(super) fn list(all: &[Partner], json: bool) -> String {
    if json {
        let all: Vec<Value> = all.iter().map(partner).collect();
        return pretty(&json!({ "partners": all }));
    }
    if all.is_empty() {
        return "There is no partner yet: make one with vitrine partner add CODE.".into();
    }
    let mut table = table(&["code", "name", "state", "partner", "since"]);
    for one in all {
        table.add_row([
            Cell::new(&one.partner_code),
            Cell::new(&one.display_name),
            Cell::new(state(one)),
            Cell::new(&one.partner_id),
            Cell::new(when(&one.create_time)),
        ]);
    }
    table.to_string()
}

impl Shown {
    pub(super) fn render(&self, about: &About, json: bool) -> String {
        if json {
            return pretty(&self.json(about));
        }
        let one = &self.partner;
        let mut text = format!(
            "{}  {}  {}\n{}\n",
            one.partner_code,
            one.display_name,
            state(one),
            one.partner_id
        );
        if !one.suspend_reason.is_empty() {
            text.push_str(&format!("suspended: {}\n", one.suspend_reason));
        }
        let quotas = self.access.quotas.unwrap_or_default();
        let number = |number: i32, usual: &str| match number {
            0 => usual.to_owned(),
            number => number.to_string(),
        };
        text.push_str(&format!(
            "\nissuer        {}\nscopes        {}\ncalls/s       {}\nat a time     {}\nplacements/s  {}\n",
            or(&self.access.issuer_name, "none of its own; an issuer in the servers' configuration"),
            or(&self.access.allowed_scopes.join(" "), "all that its tokens say"),
            number(quotas.calls_per_second, "the server's default"),
            number(quotas.concurrent_calls, "the server's default"),
            number(quotas.placements_per_second, "no limit beside calls/s"),
        ));
        text.push_str(&self.credentials());
        text.push_str(&self.needs(about));
        text
    }

    fn credentials(&self) -> String {
        let keys = &self.access.token_keys;
        let certificates = &self.access.client_certificates;
        if keys.is_empty() && certificates.is_empty() && self.payment_keys.is_empty() {
            return "\nIt has no keys and no certificates yet: vitrine partner add-key, add-certificate.\n".into();
        }
        let mut table = table(&["for", "name", "state", "until", "id"]);
        for key in keys {
            table.add_row([
                Cell::new("tokens"),
                Cell::new(&key.kid),
                Cell::new(word(key.state().as_str_name(), "TOKEN_KEY_STATE_")),
                Cell::new(when(&key.retire_time)),
                Cell::new(&key.token_key_id),
            ]);
        }
        for key in &self.payment_keys {
            table.add_row([
                Cell::new("payments"),
                Cell::new(&key.kid),
                Cell::new(word(key.state().as_str_name(), "PAYMENT_KEY_STATE_")),
                Cell::new(when(&key.revoke_time)),
                Cell::new(&key.payment_key_id),
            ]);
        }
        for one in certificates {
            let fingerprint = one.sha256_fingerprint.get(..16).unwrap_or_default();
            let name = match (one.spiffe_id.as_str(), fingerprint) {
                ("", fingerprint) => format!("{fingerprint}…"),
                (spiffe_id, "") => spiffe_id.to_owned(),
                (spiffe_id, fingerprint) => format!("{spiffe_id} {fingerprint}…"),
            };
            table.add_row([
                Cell::new("connections"),
                Cell::new(name),
                Cell::new(word(one.state().as_str_name(), "CLIENT_CERTIFICATE_STATE_")),
                Cell::new(when(&one.expire_time)),
                Cell::new(&one.client_certificate_id),
            ]);
        }
        format!("\n{table}\n")
    }

    /// Ready to be sent to the partner.
    fn needs(&self, about: &About) -> String {
        let accepted: Vec<&str> = self.token_kids();
        let token = if self.access.issuer_name.is_empty() {
            "  token         from the issuer that was agreed with you".to_owned()
        } else if accepted.is_empty() {
            format!(
                "  token         send us the public half of a key first (Ed25519, P-256 or RSA); iss will be {}",
                self.access.issuer_name
            )
        } else {
            format!(
                "  token         a JWT in `authorization: Bearer …`, at most {} s long, with\n                header  kid {}\n                claims  iss {}, aud {}, actor partner, partner_id as above,\n                        sub (who of you), iat, exp, scope (words with spaces between)",
                about.token_life_s,
                accepted.join(" or "),
                self.access.issuer_name,
                about.audience,
            )
        };
        let payments: Vec<&str> = self
            .payment_keys
            .iter()
            .filter(|key| key.state() == PaymentKeyState::Active)
            .map(|key| key.kid.as_str())
            .collect();
        let payments = if payments.is_empty() {
            "send us the public half of a key first".to_owned()
        } else {
            format!("signed as a JWS, kid {}", payments.join(" or "))
        };
        let scopes = or(&self.access.allowed_scopes.join(" "), "as agreed");
        let mut text = format!(
            "\nTo be sent to the partner:\n\n  gRPC          {}  (the address that you publish, if it is another)\n  partner_id    {}\n{token}\n  scopes        {scopes}\n  payments      {payments}\n",
            about.endpoint, self.partner.partner_id,
        );
        if !self.access.client_certificates.is_empty() {
            text.push_str(
                "  connections   with TLS and one of the client certificates that we have of you\n",
            );
        }
        text.trim_end().to_owned()
    }

    fn token_kids(&self) -> Vec<&str> {
        let keys = self.access.token_keys.iter();
        keys.filter(|key| key.state() == TokenKeyState::Active)
            .map(|key| key.kid.as_str())
            .collect()
    }

    fn json(&self, about: &About) -> Value {
        let quotas = self.access.quotas.unwrap_or_default();
        let keys = self.access.token_keys.iter().map(|key| {
            json!({
                "token_key_id": key.token_key_id,
                "kid": key.kid,
                "state": word(key.state().as_str_name(), "TOKEN_KEY_STATE_"),
                "retire_time": time(&key.retire_time),
                "create_time": time(&key.create_time),
            })
        });
        let payments = self.payment_keys.iter().map(|key| {
            json!({
                "payment_key_id": key.payment_key_id,
                "kid": key.kid,
                "state": word(key.state().as_str_name(), "PAYMENT_KEY_STATE_"),
                "create_time": time(&key.create_time),
            })
        });
        let certificates = self.access.client_certificates.iter().map(|one| {
            json!({
                "client_certificate_id": one.client_certificate_id,
                "sha256_fingerprint": one.sha256_fingerprint,
                "spiffe_id": one.spiffe_id,
                "start_time": time(&one.start_time),
                "expire_time": time(&one.expire_time),
                "state": word(one.state().as_str_name(), "CLIENT_CERTIFICATE_STATE_"),
            })
        });
        let mut shown = partner(&self.partner);
        shown["access"] = json!({
            "issuer_name": self.access.issuer_name,
            "allowed_scopes": self.access.allowed_scopes,
            "quotas": {
                "calls_per_second": quotas.calls_per_second,
                "concurrent_calls": quotas.concurrent_calls,
                "placements_per_second": quotas.placements_per_second,
            },
            "token_keys": keys.collect::<Vec<_>>(),
            "client_certificates": certificates.collect::<Vec<_>>(),
            "etag": self.access.etag,
        });
        shown["payment_keys"] = json!(payments.collect::<Vec<_>>());
        shown["audience"] = json!(about.audience);
        shown
    }
}

fn partner(one: &Partner) -> Value {
    json!({
        "partner_id": one.partner_id,
        "partner_code": one.partner_code,
        "display_name": one.display_name,
        "legal_entity": one.legal_entity,
        "state": state(one),
        "suspend_reason": one.suspend_reason,
        "create_time": time(&one.create_time),
        "etag": one.etag,
    })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

fn state(one: &Partner) -> &'static str {
    word(one.state().as_str_name(), "PARTNER_STATE_")
}

fn word(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

fn or(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise } else { text }.to_owned()
}

fn time(time: &Option<prost_types::Timestamp>) -> Value {
    time.as_ref().map_or(Value::Null, |_| json!(when(time)))
}

fn when(time: &Option<prost_types::Timestamp>) -> String {
    let second = time
        .as_ref()
        .and_then(|time| Timestamp::from_second(time.seconds).ok());
    second.map(|at| at.to_string()).unwrap_or_default()
}
