//! Typed ids: a prefix that says what is named, an underscore, and a UUID in 26 characters of
//! lower-case Crockford base32, as TypeID has it: `order_01jd8zw5e6f0bsqv3k9m2n4p7r`.
//!
//! An id holds its text inline, so that parsing, copying, comparing and printing one never allocates:
//! every call parses several. Ids of one kind sort as their UUIDs do.

mod base32;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use base32::SUFFIX_LEN;

/// The longest prefix that fits.
pub const MAX_PREFIX_LEN: usize = 9;

const CAPACITY: usize = MAX_PREFIX_LEN + 1 + SUFFIX_LEN;

/// What an id names.
pub trait Kind: Send + Sync + 'static {
    /// Lower-case ASCII letters, at most [`MAX_PREFIX_LEN`].
    const PREFIX: &'static str;
}

/// Why a text is not an id of the kind that was asked for. It never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Another kind of id, or no id at all.
    #[error("must be an id that starts with `{expected}_`")]
    Prefix {
        /// The prefix that this kind of id has.
        expected: &'static str,
    },
    /// Too short or too long.
    #[error("must have {SUFFIX_LEN} characters after `{expected}_`")]
    Length {
        /// The prefix that this kind of id has.
        expected: &'static str,
    },
    /// A character that lower-case Crockford base32 does not have.
    #[error(
        "has a character that ids do not have (lower-case base32: digits and letters without i, l, o, u)"
    )]
    Character,
    /// More than 128 bits.
    #[error("is larger than any id: the character after the underscore is at most 7")]
    TooLarge,
}

/// An id of kind `K`; use it through the aliases such as [`OrderId`].
pub struct Id<K: Kind> {
    text: [u8; CAPACITY],
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Id<K> {
    /// The prefix of this kind, without the underscore.
    pub const PREFIX: &'static str = K::PREFIX;

    const START: usize = {
        assert!(!K::PREFIX.is_empty() && K::PREFIX.len() <= MAX_PREFIX_LEN);
        K::PREFIX.len() + 1
    };
    /// Length of the text of every id of this kind.
    pub const LEN: usize = Self::START + SUFFIX_LEN;

    /// The id of a UUID.
    #[must_use]
    pub fn from_uuid(uuid: u128) -> Self {
        Self::from_suffix(&base32::encode(uuid))
    }

    /// Reads the text form strictly: the right prefix, 26 characters, lower case, at most 128 bits.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let expected = K::PREFIX;
        let Some(suffix) = text
            .strip_prefix(expected)
            .and_then(|rest| rest.strip_prefix('_'))
        else {
            return Err(IdError::Prefix { expected });
        };
        let suffix: &[u8; SUFFIX_LEN] = suffix
            .as_bytes()
            .try_into()
            .map_err(|_| IdError::Length { expected })?;
        base32::check(suffix)?;
        Ok(Self::from_suffix(suffix))
    }

    /// The UUID inside.
    #[must_use]
    pub fn uuid(&self) -> u128 {
        base32::decode(&self.text[Self::START..Self::LEN])
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.bytes()).expect("an id is made of ASCII only")
    }

    fn from_suffix(suffix: &[u8; SUFFIX_LEN]) -> Self {
        let mut text = [0; CAPACITY];
        text[..Self::START - 1].copy_from_slice(K::PREFIX.as_bytes());
        text[Self::START - 1] = b'_';
        text[Self::START..Self::LEN].copy_from_slice(suffix);
        Self {
            text,
            kind: PhantomData,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.text[..Self::LEN]
    }
}

// Written out rather than derived: a derive would ask the same of `K`, which is only a name.
impl<K: Kind> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Kind> Copy for Id<K> {}

impl<K: Kind> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<K: Kind> Eq for Id<K> {}

impl<K: Kind> PartialEq<str> for Id<K> {
    fn eq(&self, other: &str) -> bool {
        self.bytes() == other.as_bytes()
    }
}

impl<K: Kind> PartialEq<&str> for Id<K> {
    fn eq(&self, other: &&str) -> bool {
        self.bytes() == other.as_bytes()
    }
}

impl<K: Kind> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Kind> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

// The same hash as the text has, as `Borrow<str>` demands: a map by id can be asked with a `&str`.
impl<K: Kind> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl<K: Kind> Borrow<str> for Id<K> {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl<K: Kind> AsRef<str> for Id<K> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

impl<K: Kind> TryFrom<&str> for Id<K> {
    type Error = IdError;

    fn try_from(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

impl<K: Kind> TryFrom<String> for Id<K> {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}

impl<K: Kind> From<Id<K>> for String {
    fn from(id: Id<K>) -> Self {
        id.as_str().to_owned()
    }
}

impl<K: Kind> From<&Id<K>> for String {
    fn from(id: &Id<K>) -> Self {
        id.as_str().to_owned()
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<K>(PhantomData<fn() -> K>);

        impl<K: Kind> Visitor<'_> for Text<K> {
            type Value = Id<K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an id that starts with `{}_`", K::PREFIX)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id<K>, E> {
                Id::parse(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text(PhantomData))
    }
}

/// Declares a kind of id and its alias.
macro_rules! ids {
    ($($(#[$doc:meta])* $alias:ident = $kind:ident($prefix:literal);)+) => {
        /// The kinds of id, one marker each.
        pub mod kind {
            $(
                $(#[$doc])*
                #[derive(Debug)]
                pub enum $kind {}

                impl super::Kind for $kind {
                    const PREFIX: &'static str = $prefix;
                }
            )+
        }

        $($(#[$doc])* pub type $alias = Id<kind::$kind>;)+

        #[cfg(test)]
        const PREFIXES: &[&str] = &[$($prefix),+];
    };
}

ids! {
    /// A partner platform.
    PartnerId = Partner("partner");
    /// One place where a partner shows rooms.
    OutletId = Outlet("outlet");
    /// A partner's public key for payment statements.
    PaymentKeyId = PaymentKey("pkey");
    /// A partner's public key for its own tokens.
    TokenKeyId = TokenKey("tkey");
    /// A partner's client certificate.
    ClientCertificateId = ClientCertificate("cert");
    /// A product of the catalogue.
    ProductId = Product("product");
    /// A sellable variant of a product.
    VariantId = Variant("variant");
    /// One variant offered to one partner.
    ListingId = Listing("listing");
    /// What was agreed with a brand.
    BrandAgreementId = BrandAgreement("brand");
    /// A partner's licence for a regulated category.
    LicenceId = Licence("licence");
    /// A legal entity of the retailer.
    LegalEntityId = LegalEntity("entity");
    /// Sellable units that listings draw from.
    AllotmentId = Allotment("allotment");
    /// One change of an allotment's supply.
    MovementId = Movement("movement");
    /// A timed, quantity-limited sale.
    DropId = Drop("drop");
    /// An order.
    OrderId = Order("order");
    /// A line of an order.
    OrderLineId = OrderLine("line");
    /// Units set aside for an order.
    HoldId = Hold("hold");
    /// A payment that a partner stated.
    PaymentId = Payment("payment");
    /// Money to go back.
    RefundId = Refund("refund");
    /// A live session.
    RoomId = Room("room");
    /// A channel that carries rooms.
    ChannelId = Channel("channel");
    /// A place in a channel's programme.
    SlotId = Slot("slot");
    /// Who presents a room.
    HostId = Host("host");
    /// Who is paid commission for a click or a room.
    CreatorId = Creator("creator");
    /// A product on a room's list.
    ShowcaseItemId = ShowcaseItem("item");
    /// A shopper's question in a room.
    QuestionId = Question("question");
    /// A parcel.
    ShipmentId = Shipment("shipment");
    /// The work of fulfilling one order.
    FulfillmentId = Fulfillment("fulfil");
    /// A stop of sale.
    StopId = Stop("stop");
    /// Goods coming back.
    ReturnId = Return("return");
    /// A matter after the sale.
    AftersaleId = Aftersale("aftersale");
    /// A refund or a compensation that waits for approval.
    RefundProposalId = RefundProposal("refprop");
    /// Money for a shopper that is no refund.
    CompensationId = Compensation("comp");
    /// Money that a shopper's bank took back.
    ChargebackId = Chargeback("cback");
    /// An entry of the ledger.
    LedgerEntryId = LedgerEntry("entry");
    /// A correction of the ledger by hand.
    LedgerAdjustmentId = LedgerAdjustment("ledgeradj");
    /// A signed link into the retailer's shop.
    DeepLinkId = DeepLink("link");
    /// A purchase that a deep link led to.
    ConversionId = Conversion("conv");
    /// A conversion undone, in part or as a whole.
    ConversionReversalId = ConversionReversal("convrev");
    /// A customer-care conversation.
    CaseId = Case("case");
    /// A message of a case.
    CaseMessageId = CaseMessage("casemsg");
    /// One incident behind many cases.
    TopicId = Topic("topic");
    /// A dated exchange rate.
    ExchangeRateId = ExchangeRate("rate");
}

#[cfg(test)]
mod tests;
