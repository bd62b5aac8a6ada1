//! What the retailer's shop reports of deep links.

use ::store::{Operation, Tx};
use contracts::ErrorReason;
use contracts::id::{ConversionId, ConversionReversalId, PartnerId};
use contracts::money::Currency;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::events;
use crate::link::{LinkClaims, bad_link};
use crate::model::conversion::{
    Conversion, ConversionLine, Reversal, ReversalAsk, SkuAmount, commission_on,
};
use crate::model::link::ConversionRules;
use crate::store::conversion::{self, ConversionFilter};
use crate::store::link;

/// Reports a purchase.
#[derive(Clone, Debug)]
pub struct ReportConversion {
    /// What the link's token says, or why it is none. Looked at only after the key.
    pub claims: Result<LinkClaims, Refusal>,
    /// The shop's own number.
    pub shop_order_reference: String,
    /// What was bought.
    pub lines: Vec<SkuAmount>,
    /// What was paid in all; not below the sum of the lines.
    pub amount: i64,
    /// The currency of every amount.
    pub currency: Currency,
    /// When the shopper came by the link.
    pub click_time: Micros,
    /// When it was bought.
    pub convert_time: Micros,
    /// How long things may take.
    pub rules: ConversionRules,
}

impl Operation for ReportConversion {
    type Output = Conversion;

    fn name(&self) -> &'static str {
        "conversion.report"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Conversion, Fault> {
        let now = tx.now();
        let claims = self.claims.clone()?;
        let link = link::link_by_id(tx, &claims.deep_link_id).await?;
        let link = link.filter(|link| claims.fit(link)).ok_or_else(bad_link)?;
        self.rules
            .check_purchase(&link, self.click_time, self.convert_time, now)?;
        let goods = self.lines.iter().map(|line| line.amount).sum();
        let commission = commission_on(goods, link.commission_basis_points)
            .map_err(|error| Refusal::invalid("lines", error.to_string()))?;
        let line = |bought: &SkuAmount| ConversionLine {
            bought: bought.clone(),
            reversed_quantity: 0,
            reversed_amount: 0,
        };
        let reported = Conversion {
            conversion_id: ConversionId::from_uuid(tx.ids().next()),
            deep_link_id: link.deep_link_id,
            partner_id: link.partner_id,
            listing_id: link.listing_id,
            shop_order_reference: self.shop_order_reference.clone(),
            legal_entity: link.legal_entity,
            currency: self.currency,
            lines: self.lines.iter().map(line).collect(),
            amount: self.amount,
            reversed_amount: 0,
            commission,
            reversed_commission: 0,
            reversals: 0,
            click_time: self.click_time,
            convert_time: self.convert_time,
            record_time: now,
            version: 1,
        };
        if !conversion::conversion_insert(tx, &reported).await? {
            return Err(self.known(tx, &reported).await?.into());
        }
        tx.publish(events::conversion_changed(&reported, None));
        tx.audit(self.name(), reported.conversion_id, self.amount.to_string());
        Ok(reported)
    }
}

impl ReportConversion {
    /// The purchase was reported before under another request id.
    async fn known(&self, tx: &mut Tx, again: &Conversion) -> Result<Refusal, Fault> {
        let reference = &again.shop_order_reference;
        let known = conversion::conversion_by_reference(tx, &again.deep_link_id, reference).await?;
        let refusal = Refusal::new(
            ErrorReason::AlreadyExists,
            "This purchase of this link was reported before; read it with GetConversion, or undo it with ReverseConversion.",
        );
        Ok(match known {
            Some(conversion_id) => refusal.with("conversion_id", conversion_id),
            None => refusal,
        })
    }
}

/// Takes something of a conversion back.
#[derive(Clone, Debug)]
pub struct ReverseConversion {
    /// Which.
    pub conversion_id: ConversionId,
    /// What goes back.
    pub ask: ReversalAsk,
    /// When it went back.
    pub reverse_time: Micros,
    /// How long things may take.
    pub rules: ConversionRules,
}

impl Operation for ReverseConversion {
    type Output = (Reversal, Conversion);

    fn name(&self) -> &'static str {
        "conversion.reverse"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(Reversal, Conversion), Fault> {
        let now = tx.now();
        let found = conversion::conversion_by_id(tx, &self.conversion_id).await?;
        let mut after = found.ok_or_else(|| Refusal::not_found("conversion"))?;
        self.rules
            .check_reversal(after.convert_time, self.reverse_time, now)?;
        let reversal_id = ConversionReversalId::from_uuid(tx.ids().next());
        let reversal = after.reverse(reversal_id, &self.ask, self.reverse_time, now)?;
        conversion::reversal_insert(tx, &after, &reversal).await?;
        tx.publish(events::conversion_changed(&after, Some(&reversal)));
        tx.audit(self.name(), self.conversion_id, reversal.amount.to_string());
        Ok((reversal, after))
    }
}

/// A conversion with its reversals; a partner finds only its own.
#[derive(Clone, Debug)]
pub struct GetConversion {
    /// Who asks; none for the retailer.
    pub partner_id: Option<PartnerId>,
    /// Which.
    pub conversion_id: ConversionId,
}

impl Operation for GetConversion {
    type Output = (Conversion, Vec<Reversal>);

    fn name(&self) -> &'static str {
        "conversion.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(Conversion, Vec<Reversal>), Fault> {
        let found = conversion::conversion_by_id(tx, &self.conversion_id).await?;
        let own = |found: &Conversion| self.partner_id.is_none_or(|own| own == found.partner_id);
        let found = found
            .filter(own)
            .ok_or_else(|| Refusal::not_found("conversion"))?;
        let reversals = conversion::reversals_of(tx, &self.conversion_id).await?;
        Ok((found, reversals))
    }
}

/// Conversions after an id.
#[derive(Clone, Debug)]
pub struct ListConversions {
    /// Which.
    pub filter: ConversionFilter,
    /// After which; empty for the first.
    pub after: String,
    /// The most of them.
    pub limit: i64,
}

impl Operation for ListConversions {
    type Output = Vec<Conversion>;

    fn name(&self) -> &'static str {
        "conversion.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Conversion>, Fault> {
        conversion::conversion_page(tx, &self.filter, &self.after, self.limit).await
    }
}
