//! Returns that are a part of a matter after the sale.

use contracts::id::ReturnId;
use kit::clock::Micros;

use super::super::aftersale::{Aftersale, AftersaleKind, AftersaleReason, MatterLine, Party};
use super::{
    GoodsReturn, Instructions, ReturnInitiator, ReturnKind, ReturnLine, ReturnReason, ReturnState,
};

impl GoodsReturn {
    /// The goods of a matter are to come back. It begins approved: the matter was decided on. Its units are those that
    /// the matter has set aside; the caller moves them over.
    pub fn of_matter(
        matter: &Aftersale,
        id: ReturnId,
        instructions: Instructions,
        now: Micros,
    ) -> Self {
        let line = |line: &MatterLine| ReturnLine {
            order_line_id: line.order_line_id,
            variant_id: line.variant_id,
            sku: line.sku.clone(),
            unit: line.unit,
            reason: reason(matter.reason),
            requested: line.quantity,
            approved: line.quantity,
            conditions: Vec::new(),
        };
        GoodsReturn {
            id,
            order_id: matter.order_id,
            fulfillment_id: matter.fulfillment_id,
            partner_id: matter.partner_id,
            kind: match matter.kind {
                AftersaleKind::RefundOnly => ReturnKind::RefundOnly,
                AftersaleKind::ReturnAndRefund => ReturnKind::ReturnAndRefund,
                AftersaleKind::Exchange => ReturnKind::Exchange,
                AftersaleKind::Replacement => ReturnKind::Replacement,
            },
            state: ReturnState::Approved,
            initiator: match matter.opened_by {
                Party::Shopper | Party::Partner => ReturnInitiator::Partner,
                Party::Retailer | Party::Carrier | Party::Time => ReturnInitiator::Retailer,
            },
            lines: matter.lines.iter().map(line).collect(),
            instructions: Some(instructions),
            decision_message: matter.message.clone(),
            create_time: now,
            decide_time: Some(now),
            receive_time: None,
            finish_time: None,
            refund: None,
            aftersale_id: Some(matter.id),
            version: 0,
        }
    }
}

fn reason(reason: AftersaleReason) -> ReturnReason {
    match reason {
        AftersaleReason::Damaged | AftersaleReason::CarrierDamaged => {
            ReturnReason::DamagedInTransit
        }
        AftersaleReason::WrongItem => ReturnReason::WrongItem,
        AftersaleReason::NotAsDescribed | AftersaleReason::CounterfeitClaim => {
            ReturnReason::NotAsDescribed
        }
        AftersaleReason::MissingParts | AftersaleReason::Defective => ReturnReason::Defective,
        AftersaleReason::ChangedMind => ReturnReason::ChangedMind,
        AftersaleReason::Late => ReturnReason::ArrivedLate,
        AftersaleReason::DoesNotFit => ReturnReason::DoesNotFit,
        AftersaleReason::NeverArrived
        | AftersaleReason::Other
        | AftersaleReason::CarrierLost
        | AftersaleReason::CarrierRefused
        | AftersaleReason::CarrierReturned => ReturnReason::Other,
    }
}
