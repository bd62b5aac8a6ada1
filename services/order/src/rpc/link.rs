//! Deep links and conversions.

use std::sync::Arc;

use contracts::ErrorReason;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};

use super::Api;

macro_rules! later {
    ($($method:ident: $request:ident => $response:ident;)+) => {
        impl Api {
            $(
                pub(super) async fn $method(&self, _: &Arc<Caller>, _: pb::$request) -> Result<pb::$response, Fault> {
                    Err(Refusal::new(ErrorReason::NotOffered, "This is not offered yet; nothing was done.").into())
                }
            )+
        }
    };
}

later! {
    create_deep_link: CreateDeepLinkRequest => CreateDeepLinkResponse;
    get_deep_link: GetDeepLinkRequest => GetDeepLinkResponse;
    report_conversion: ReportConversionRequest => ReportConversionResponse;
    reverse_conversion: ReverseConversionRequest => ReverseConversionResponse;
    get_conversion: GetConversionRequest => GetConversionResponse;
    list_conversions: ListConversionsRequest => ListConversionsResponse;
    record_exchange_rate: RecordExchangeRateRequest => RecordExchangeRateResponse;
    get_exchange_rate: GetExchangeRateRequest => GetExchangeRateResponse;
    list_exchange_rates: ListExchangeRatesRequest => ListExchangeRatesResponse;
    summarize_sales: SummarizeSalesRequest => SummarizeSalesResponse;
}
