//! What an order would cost now. Nothing is held and nothing is decided: the desk looks again.

use ::store::{Operation, Tx};
use contracts::ErrorReason;
use contracts::money::Currency;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use super::batch::look;
use crate::model::book::{Book, Selling};
use crate::model::command::{Command, Place, Quote, QuoteLine};
use crate::model::pricing::{Priced, price_asked};
use crate::model::{HoldRules, Line, PriceSource};

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
    /// For each line, when its drop begins; none when it has begun, or when there is none.
    pub open_times: Vec<Option<Micros>>,
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
        let open_time = |line: &Line| match book.selling(&line.listing_id) {
            Selling::Ahead(sale) => Some(sale.start_time),
            Selling::Alone | Selling::In(_) => None,
        };
        let open_times: Vec<_> = lines.iter().map(open_time).collect();
        let quote = self.quote(&book, &lines, amount.currency);
        let available = self.available(&mut book, &lines, &open_times)?;
        Ok(Quoted {
            quote,
            amount,
            available,
            open_times,
        })
    }
}

impl QuoteOrder {
    /// Whether there are units for each line when those before it are taken. A limit is refused, because
    /// waiting does not help. Before a drop there are none for anybody.
    fn available(
        &self,
        book: &mut Book,
        lines: &[Line],
        open_times: &[Option<Micros>],
    ) -> Result<Vec<bool>, Refusal> {
        let (partner_id, shopper_ref) = (self.place.partner_id, &self.place.shopper_ref);
        let hold = |(line, open_time): (&Line, &Option<Micros>)| {
            if open_time.is_some() {
                book.check_limits(line, partner_id, shopper_ref)?;
                return Ok(false);
            }
            match book.hold(std::slice::from_ref(line), partner_id, shopper_ref) {
                Ok(()) => Ok(true),
                Err(refusal) if refusal.reason == ErrorReason::SoldOut => Ok(false),
                Err(refusal) => Err(refusal),
            }
        };
        lines.iter().zip(open_times).map(hold).collect()
    }

    /// The price of a drop is promised no longer than the drop lasts.
    fn quote(&self, book: &Book, lines: &[Line], currency: Currency) -> Quote {
        let of_drops = lines
            .iter()
            .filter(|line| line.price_source == PriceSource::Drop)
            .filter_map(|line| book.drops.get(line.drop_id.as_ref()?))
            .map(|sale| sale.end_time);
        let expire_time = of_drops.fold(book.now.plus(self.ttl), Micros::min);
        let quoted = |line: &Line| QuoteLine {
            listing_id: line.listing_id,
            quantity: line.quantity,
            terms_version: line.terms_version,
            unit_price: line.unit_price,
            amount: line.amount,
            price_source: line.price_source,
            drop_id: line.drop_id,
        };
        Quote {
            partner_id: self.place.partner_id,
            destination: self.place.destination.clone(),
            currency,
            lines: lines.iter().map(quoted).collect(),
            expire_time,
        }
    }
}
