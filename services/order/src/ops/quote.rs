//! What an order would cost now. Nothing is held and nothing is decided: the desk looks again.

use ::store::{Operation, Tx};
use contracts::ErrorReason;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use super::batch::look;
use crate::model::book::Book;
use crate::model::command::{Command, Place, Quote, QuoteLine};
use crate::model::pricing::{Priced, price_asked};
use crate::model::{HoldRules, Line};

/// Prices the lines of a placement that may never come.
#[derive(Clone, Debug)]
pub struct QuoteOrder {
    /// What would be placed.
    pub place: Place,
    /// How long units may be held.
    pub rules: HoldRules,
    /// How long the price is honoured.
    pub ttl: std::time::Duration,
}

/// A quote, and what it does not promise.
#[derive(Clone, Debug)]
pub struct Quoted {
    /// The quote.
    pub quote: Quote,
    /// All lines together.
    pub amount: crate::model::OrderAmount,
    /// For each line, whether there are units enough just now.
    pub available: Vec<bool>,
}

impl Operation for QuoteOrder {
    type Output = Quoted;

    fn name(&self) -> &'static str {
        "order.quote"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Quoted, Fault> {
        let now = tx.now();
        let mut book = Book::new(now, self.rules);
        look(tx, &mut book, &Command::Place(Box::new(self.place.clone()))).await?;
        let Priced { lines, amount, .. } = price_asked(&book, &self.place)?;
        let available = self.available(&mut book, &lines)?;
        Ok(Quoted {
            quote: self.quote(&lines, amount.currency, now),
            amount,
            available,
        })
    }
}

impl QuoteOrder {
    /// Whether there are units for each line when those before it are taken. A limit is refused, because
    /// waiting does not help.
    fn available(&self, book: &mut Book, lines: &[Line]) -> Result<Vec<bool>, Refusal> {
        let hold = |line| match book.hold(
            std::slice::from_ref(line),
            self.place.partner_id,
            &self.place.shopper_ref,
        ) {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.reason == ErrorReason::SoldOut => Ok(false),
            Err(refusal) => Err(refusal),
        };
        lines.iter().map(hold).collect()
    }

    fn quote(&self, lines: &[Line], currency: contracts::money::Currency, now: Micros) -> Quote {
        let quoted = |line: &Line| QuoteLine {
            listing_id: line.listing_id,
            quantity: line.quantity,
            terms_version: line.terms_version,
            unit_price: line.unit_price,
            amount: line.amount,
        };
        Quote {
            partner_id: self.place.partner_id,
            destination: self.place.destination.clone(),
            currency,
            lines: lines.iter().map(quoted).collect(),
            expire_time: now.plus(self.ttl),
        }
    }
}
