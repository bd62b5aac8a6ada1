//! Reading. What a caller may not see is not found, in the same words as what does not exist.

use contracts::id::{LegalEntityId, ListingId, PartnerId, ProductId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::{kind, scope};
use crate::model::access::{ClientCertificate, PartnerAccess, TokenKey};
use crate::model::brand::BrandAgreement;
use crate::model::legal_entity::LegalEntity;
use crate::model::listing::Listing;
use crate::model::outlet::Outlet;
use crate::model::partner::{Partner, PartnerState};
use crate::model::payment_key::PaymentKey;
use crate::model::product::Product;
use crate::model::regulation::{CategoryRule, Licence};
use crate::store::Slice;
use crate::store::access::{access_by_id, access_list, certificate_list, token_key_list};
use crate::store::brand::{brand_agreement_by_key, brand_agreement_list};
use crate::store::legal_entity::{legal_entity_by_id, legal_entity_list};
use crate::store::listing::{
    AssortmentFilter, ListingFilter, assortment_list, listing_by_id, listing_list, listing_parents,
};
use crate::store::listing_write::{TermsVersion, terms_list};
use crate::store::outlet::outlet_list;
use crate::store::partner::{partner_by_id, partner_list, partner_state};
use crate::store::payment_key::payment_key_list;
use crate::store::product::{product_by_id, product_list, product_shown_to};
use crate::store::regulation::{category_rule_by_key, category_rule_list, licence_list};

/// Declares an operation that reads: its name, fields, answer and body.
macro_rules! reads {
    ($(
        $(#[$doc:meta])*
        $name:ident($label:literal) { $($field:ident: $type:ty),* $(,)? } -> $output:ty
            |$this:ident, $tx:ident| $body:block
    )+) => {$(
        $(#[$doc])*
        pub(crate) struct $name {
            $(pub(crate) $field: $type,)*
        }

        impl Operation for $name {
            type Output = $output;

            fn name(&self) -> &'static str {
                $label
            }

            async fn run(&self, $tx: &mut Tx) -> Result<$output, Fault> {
                let $this = self;
                $body
            }
        }
    )+};
}

reads! {
    /// One partner.
    GetPartner("partner.get") { partner_id: PartnerId } -> Partner |read, tx| {
        tx.caller().require_partner(&read.partner_id, kind::PARTNER)?;
        let found = partner_by_id(tx, &read.partner_id).await?;
        Ok(found.ok_or_else(|| Refusal::not_found(kind::PARTNER))?)
    }

    /// All partners.
    ListPartners("partner.list") { slice: Slice } -> Vec<Partner> |read, tx| {
        partner_list(tx, &read.slice).await
    }

    /// The keys of a partner.
    ListPaymentKeys("payment_key.list") { partner_id: PartnerId, slice: Slice } -> Vec<PaymentKey> |read, tx| {
        require_partner(tx, Some(&read.partner_id)).await?;
        payment_key_list(tx, &read.partner_id, &read.slice).await
    }

    /// How a partner is let in.
    GetAccess("partner_access.get") { partner_id: PartnerId } -> PartnerAccess |read, tx| {
        tx.caller().require_partner(&read.partner_id, kind::PARTNER)?;
        let found = access_by_id(tx, &read.partner_id).await?;
        Ok(found.ok_or_else(|| Refusal::not_found(kind::PARTNER))?)
    }

    /// How all partners are let in.
    ListAccess("partner_access.list") { slice: Slice } -> Vec<PartnerAccess> |read, tx| {
        access_list(tx, &read.slice).await
    }

    /// The token keys of a partner.
    ListTokenKeys("token_key.list") { partner_id: PartnerId, slice: Slice } -> Vec<TokenKey> |read, tx| {
        require_partner(tx, Some(&read.partner_id)).await?;
        token_key_list(tx, &read.partner_id, &read.slice).await
    }

    /// The client certificates of a partner.
    ListCertificates("client_certificate.list") { partner_id: PartnerId, slice: Slice } -> Vec<ClientCertificate> |read, tx| {
        require_partner(tx, Some(&read.partner_id)).await?;
        certificate_list(tx, &read.partner_id, &read.slice).await
    }

    /// The outlets of a partner, or all.
    ListOutlets("outlet.list") { partner_id: Option<PartnerId>, slice: Slice } -> Vec<Outlet> |read, tx| {
        let partner_id = require_partner(tx, read.partner_id.as_ref()).await?;
        outlet_list(tx, partner_id.as_ref(), &read.slice).await
    }

    /// One product; for a partner only when it has a listing of it.
    GetProduct("product.get") { product_id: ProductId } -> Product |read, tx| {
        if let Some(partner_id) = scope(tx.caller())?
            && !product_shown_to(tx, &read.product_id, &partner_id).await?
        {
            return Err(Refusal::not_found(kind::PRODUCT).into());
        }
        let found = product_by_id(tx, &read.product_id).await?;
        Ok(found.ok_or_else(|| Refusal::not_found(kind::PRODUCT))?)
    }

    /// All products, or those of one brand.
    ListProducts("product.list") { brand: Option<String>, slice: Slice } -> Vec<Product> |read, tx| {
        product_list(tx, read.brand.as_deref(), &read.slice).await
    }

    /// One listing.
    GetListing("listing.get") { listing_id: ListingId } -> Listing |read, tx| {
        let visible = scope(tx.caller())?;
        let found = listing_by_id(tx, &read.listing_id, visible.as_ref()).await?;
        Ok(found.ok_or_else(|| Refusal::not_found(kind::LISTING))?)
    }

    /// Some listings.
    ListListings("listing.list") { filter: ListingFilter, slice: Slice } -> Vec<Listing> |read, tx| {
        let partner_id = require_partner(tx, read.filter.partner_id.as_ref()).await?;
        let filter = ListingFilter { partner_id, ..read.filter.clone() };
        listing_list(tx, &filter, &read.slice).await
    }

    /// A partner's assortment, and whether the partner may sell.
    ListAssortment("assortment.list") {
        partner_id: PartnerId, filter: AssortmentFilter, slice: Slice,
    } -> (PartnerState, Vec<Listing>) |read, tx| {
        tx.caller().require_partner(&read.partner_id, kind::PARTNER)?;
        let found = partner_state(tx, &read.partner_id).await?;
        let state = found.ok_or_else(|| Refusal::not_found(kind::PARTNER))?;
        let listings = assortment_list(tx, &read.partner_id, &read.filter, &read.slice).await?;
        Ok((state, listings))
    }

    /// The versions of a listing's terms.
    ListTermsVersions("listing.list_terms") { listing_id: ListingId, slice: Slice } -> Vec<TermsVersion> |read, tx| {
        let visible = scope(tx.caller())?;
        let found = listing_parents(tx, &[read.listing_id], visible.as_ref()).await?;
        found.first().ok_or_else(|| Refusal::not_found(kind::LISTING))?;
        // An empty text stands for the beginning; every other is a version that was handed out.
        let after = read.slice.after.parse().unwrap_or(0);
        terms_list(tx, &read.listing_id, after, &read.slice).await
    }

    /// The agreement with one brand.
    GetBrandAgreement("brand_agreement.get") { key: String } -> BrandAgreement |read, tx| {
        let found = brand_agreement_by_key(tx, &read.key).await?;
        Ok(found.ok_or_else(|| Refusal::not_found(kind::BRAND_AGREEMENT))?)
    }

    /// All agreements.
    ListBrandAgreements("brand_agreement.list") { slice: Slice } -> Vec<BrandAgreement> |read, tx| {
        brand_agreement_list(tx, &read.slice).await
    }

    /// The rule of one category.
    GetCategoryRule("category_rule.get") { category: String } -> CategoryRule |read, tx| {
        let found = category_rule_by_key(tx, &read.category).await?;
        Ok(found.ok_or_else(|| Refusal::not_found(kind::CATEGORY_RULE))?)
    }

    /// All rules.
    ListCategoryRules("category_rule.list") { slice: Slice } -> Vec<CategoryRule> |read, tx| {
        category_rule_list(tx, &read.slice).await
    }

    /// Some licences.
    ListLicences("licence.list") {
        partner_id: Option<PartnerId>, category: String, slice: Slice,
    } -> Vec<Licence> |read, tx| {
        let partner_id = require_partner(tx, read.partner_id.as_ref()).await?;
        licence_list(tx, partner_id.as_ref(), &read.category, &read.slice).await
    }

    /// One legal entity.
    GetLegalEntity("legal_entity.get") { legal_entity_id: LegalEntityId } -> LegalEntity |read, tx| {
        let found = legal_entity_by_id(tx, &read.legal_entity_id).await?;
        Ok(found.ok_or_else(|| Refusal::not_found(kind::LEGAL_ENTITY))?)
    }

    /// All legal entities.
    ListLegalEntities("legal_entity.list") { slice: Slice } -> Vec<LegalEntity> |read, tx| {
        legal_entity_list(tx, &read.slice).await
    }
}

/// The partner whose things are read: the one asked for, which has to be there and the caller's to see, or
/// the caller itself. None is everybody.
async fn require_partner(
    tx: &mut Tx,
    asked: Option<&PartnerId>,
) -> Result<Option<PartnerId>, Fault> {
    let own = scope(tx.caller())?;
    let Some(asked) = asked else { return Ok(own) };
    tx.caller().require_partner(asked, kind::PARTNER)?;
    let found = partner_state(tx, asked).await?;
    found.ok_or_else(|| Refusal::not_found(kind::PARTNER))?;
    Ok(Some(*asked))
}
