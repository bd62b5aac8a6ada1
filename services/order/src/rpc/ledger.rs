//! The ledger.

use std::sync::Arc;

use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::Fault;

use super::{Api, parse};

macro_rules! later {
    ($($method:ident: $request:ident => $response:ident;)+) => {
        impl Api {
            $(
                pub(super) async fn $method(
                    &self,
                    _: &Arc<Caller>,
                    _: pb::$request,
                ) -> Result<pb::$response, Fault> {
                    Err(parse::not_offered(stringify!($method)).into())
                }
            )+
        }
    };
}

later! {
    list_ledger_lines: ListLedgerLinesRequest => ListLedgerLinesResponse;
    get_ledger_balance: GetLedgerBalanceRequest => GetLedgerBalanceResponse;
}
