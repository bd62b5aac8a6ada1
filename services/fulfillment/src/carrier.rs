//! Who carries parcels.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use contracts::id::ShipmentId;
use kit::errors::Refusal;

/// The carrier that is always there: people carry the parcel, or bring it to whom they like.
pub const MANUAL: &str = "manual";

/// A carrier. It is asked inside a unit of work that may run again, so it answers from what it is given
/// and has no effect; a carrier with an API of its own gets its parcels from the fulfilment feed.
pub trait Carrier: Send + Sync + 'static {
    /// The code that names it in calls, 1 to 40 characters of `a-z`, `0-9`, `-` and `_`.
    fn code(&self) -> &str;

    /// The number of a parcel for which the caller brought none; the same for the same shipment.
    fn tracking_number(&self, shipment: &ShipmentId) -> String;
}

/// The built-in carrier.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manual;

impl Carrier for Manual {
    fn code(&self) -> &str {
        MANUAL
    }

    // The shipment's own number in capitals: unique, and readable on paper.
    fn tracking_number(&self, shipment: &ShipmentId) -> String {
        let text = shipment.as_str();
        let number = text.rsplit_once('_').map_or(text, |(_, number)| number);
        format!("M{}", number.to_ascii_uppercase())
    }
}

/// The carriers that this service knows.
#[derive(Clone)]
pub struct Carriers {
    by_code: BTreeMap<String, Arc<dyn Carrier>>,
}

impl Carriers {
    /// The built-in one alone.
    pub fn built_in() -> Self {
        Carriers {
            by_code: BTreeMap::new(),
        }
        .with(Manual)
    }

    /// And another; one of the same code takes the place of the former.
    pub fn with(mut self, carrier: impl Carrier) -> Self {
        self.by_code
            .insert(carrier.code().to_owned(), Arc::new(carrier));
        self
    }

    /// The carrier of a code; the built-in one when the code is empty. `field` is how the caller's request
    /// names the parcel.
    pub fn named(&self, code: &str, field: &str) -> Result<&dyn Carrier, Refusal> {
        let code = if code.is_empty() { MANUAL } else { code };
        self.by_code
            .get(code)
            .map(|carrier| &**carrier)
            .ok_or_else(|| {
                let known = self
                    .by_code
                    .keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ");
                let description =
                    format!("names a carrier that this server does not know; it knows: {known}.");
                Refusal::invalid(format!("{field}.carrier_code"), description)
            })
    }
}

impl fmt::Debug for Carriers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_code.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Courier;

    impl Carrier for Courier {
        fn code(&self) -> &str {
            "courier"
        }

        fn tracking_number(&self, _shipment: &ShipmentId) -> String {
            "C1".into()
        }
    }

    #[test]
    fn carriers_are_found_by_code_and_an_unknown_one_is_told_the_known() {
        let carriers = Carriers::built_in().with(Courier);
        let number = |code| {
            let carrier = carriers.named(code, "draft")?;
            Ok::<_, Refusal>(carrier.tracking_number(&ShipmentId::from_uuid(7)))
        };
        assert_eq!(number("courier").as_deref(), Ok("C1"));
        assert_eq!(number(""), number(MANUAL));
        let made = number("").expect("built in");
        assert!(made.starts_with('M') && made.len() == 27, "{made}");
        let refusal = number("pigeon").expect_err("unknown");
        assert_eq!(refusal.violations[0].field, "draft.carrier_code");
        assert!(
            refusal.message.contains("courier, manual"),
            "{}",
            refusal.message
        );
    }
}
