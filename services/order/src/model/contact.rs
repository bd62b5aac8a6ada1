//! How to reach a shopper. Personal data: it is never printed, logged or published.

use std::fmt;

use super::Destination;

/// How to reach the shopper.
#[derive(Clone, PartialEq, Eq)]
pub enum Contact {
    /// Readable data.
    Plain(PlainContact),
    /// The partner keeps the data; the carrier gets a token.
    Token(TokenContact),
}

/// Readable contact data.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PlainContact {
    /// Who gets the parcel.
    pub recipient_name: String,
    /// E.164; may be empty.
    pub phone_number: String,
    /// The address.
    pub address_lines: Vec<String>,
    /// Town.
    pub locality: String,
    /// Postal code.
    pub postal_code: String,
    /// ISO 3166-1 alpha-2.
    pub region_code: String,
}

/// A partner's token with text fit to be shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TokenContact {
    /// Opaque.
    pub token: String,
    /// Such as `L*** M***, Paris`.
    pub masked_text: String,
    /// ISO 3166-1 alpha-2.
    pub region_code: String,
}

impl Contact {
    /// Where it is.
    pub fn region_code(&self) -> &str {
        match self {
            Contact::Plain(contact) => &contact.region_code,
            Contact::Token(contact) => &contact.region_code,
        }
    }

    /// Whether it is where the order goes.
    pub fn is_in(&self, destination: &Destination) -> bool {
        self.region_code() == destination.region_code
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contact::Plain(_) => f.write_str("Contact::Plain(hidden)"),
            Contact::Token(_) => f.write_str("Contact::Token(hidden)"),
        }
    }
}

impl fmt::Debug for PlainContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainContact(hidden)")
    }
}

impl fmt::Debug for TokenContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenContact(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_printed() {
        let plain = PlainContact {
            recipient_name: "Ann Example".into(),
            ..PlainContact::default()
        };
        let token = TokenContact {
            token: "secret-token".into(),
            ..TokenContact::default()
        };
        let printed = format!(
            "{plain:?} {token:?} {:?} {:?}",
            Contact::Plain(plain.clone()),
            Contact::Token(token.clone())
        );
        assert!(
            !printed.contains("Ann") && !printed.contains("secret"),
            "{printed}"
        );
    }
}
