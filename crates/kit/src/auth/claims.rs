//! What a token says.

use contracts::common::v1::{Audience, RetailerRole};
use contracts::id::{OutletId, PartnerId, RoomId};
use serde::{Deserialize, Deserializer, Serialize};

use super::peer::PeerCertificate;
use crate::caller::{audience_word, role_word};

/// The claims of a bearer token, as they stand in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    #[serde(default)]
    pub iss: String,
    /// Whom it stands for.
    #[serde(default)]
    pub sub: String,
    /// Whom it is meant for.
    #[serde(default, deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// Seconds since the epoch from which it is no longer good.
    #[serde(
        default,
        deserialize_with = "numeric_date",
        skip_serializing_if = "Option::is_none"
    )]
    pub exp: Option<i64>,
    /// Seconds since the epoch before which it is not good yet.
    #[serde(
        default,
        deserialize_with = "numeric_date",
        skip_serializing_if = "Option::is_none"
    )]
    pub nbf: Option<i64>,
    /// Seconds since the epoch at which it was issued.
    #[serde(
        default,
        deserialize_with = "numeric_date",
        skip_serializing_if = "Option::is_none"
    )]
    pub iat: Option<i64>,
    /// The token's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// `partner`, `retailer`, `viewer` or `service`. May be absent when the issuer mints only one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The partner. May be absent when the issuer is bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner_id: Option<String>,
    /// The roles of a retailer's token; ones that the suite does not know count for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The scopes, with spaces between.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// The room of a viewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<String>,
    /// The outlet of a viewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlet_id: Option<String>,
    /// The shopper behind a viewer: the partner's opaque id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shopper_ref: Option<String>,
    /// For a service: whom it acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// The client certificate without which the token is good for nothing (RFC 8705).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// How the holder of a token proves to be the one it was issued to. There is one way; a token that asks for another is
/// refused, because nobody here would check it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// SHA-256 of the client's certificate, base64url.
    #[serde(rename = "x5t#S256")]
    pub certificate_sha256: String,
}

impl Claims {
    /// A partner's token. Issuer, times and `aud` are the signer's to add.
    pub fn partner(subject: impl Into<String>, partner: &PartnerId) -> Self {
        Claims {
            partner_id: Some(partner.to_string()),
            ..Self::of(Audience::Partner, subject)
        }
    }

    /// A token of somebody or something of the retailer.
    pub fn retailer(subject: impl Into<String>, roles: &[RetailerRole]) -> Self {
        Claims {
            roles: roles
                .iter()
                .map(|role| role_word(*role).to_owned())
                .collect(),
            ..Self::of(Audience::Retailer, subject)
        }
    }

    /// The token of one shopper in one room on one outlet of a partner.
    pub fn viewer(
        partner: &PartnerId,
        outlet: &OutletId,
        room: &RoomId,
        shopper_ref: impl Into<String>,
    ) -> Self {
        let shopper_ref = shopper_ref.into();
        Claims {
            partner_id: Some(partner.to_string()),
            outlet_id: Some(outlet.to_string()),
            room_id: Some(room.to_string()),
            shopper_ref: Some(shopper_ref.clone()),
            ..Self::of(Audience::Viewer, shopper_ref)
        }
    }

    /// The token of a service of the suite.
    pub fn service(name: impl Into<String>, on_behalf_of: Option<&str>) -> Self {
        Claims {
            on_behalf_of: on_behalf_of.map(str::to_owned),
            ..Self::of(Audience::Service, name)
        }
    }

    /// Sets the scopes.
    pub fn scopes<S: AsRef<str>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        let scopes: Vec<String> = scopes
            .into_iter()
            .map(|scope| scope.as_ref().to_owned())
            .collect();
        self.scope = scopes.join(" ");
        self
    }

    /// Binds the token to a client certificate.
    pub fn bound_to(mut self, certificate: &PeerCertificate) -> Self {
        self.cnf = Some(Confirmation {
            certificate_sha256: certificate.thumbprint(),
        });
        self
    }

    fn of(audience: Audience, subject: impl Into<String>) -> Self {
        Claims {
            sub: subject.into(),
            actor: Some(audience_word(audience).to_owned()),
            ..Claims::default()
        }
    }
}

/// RFC 7519 allows `aud` to be a text or a list of texts.
fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// RFC 7519 allows a fraction in a time; it is cut off.
fn numeric_date<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(from)? else {
        return Ok(None);
    };
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a cast from float saturates"
    )]
    let whole = number
        .as_i64()
        .or_else(|| number.as_f64().map(|number| number.floor() as i64));
    whole
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom("a time must be a number"))
}
