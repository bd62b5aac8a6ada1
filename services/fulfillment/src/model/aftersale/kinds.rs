//! The words of matters.

use super::super::words::words;

words! {
    /// What is to become of a matter.
    AftersaleKind {
        /// The money goes back, all or in part, the goods stay.
        RefundOnly = "REFUND_ONLY",
        /// The goods come back, then the money goes back.
        ReturnAndRefund = "RETURN_AND_REFUND",
        /// The goods come back, then others go out.
        Exchange = "EXCHANGE",
        /// Others go out, the goods stay.
        Replacement = "REPLACEMENT",
    }
}

impl AftersaleKind {
    /// Whether goods come back.
    pub fn needs_goods(self) -> bool {
        matches!(
            self,
            AftersaleKind::ReturnAndRefund | AftersaleKind::Exchange
        )
    }

    /// Whether money goes back.
    pub fn pays_back(self) -> bool {
        matches!(
            self,
            AftersaleKind::RefundOnly | AftersaleKind::ReturnAndRefund
        )
    }
}

words! {
    /// Where a matter is.
    AftersaleState {
        /// Waits for the retailer's review.
        Requested = "REQUESTED",
        /// Waits for the shopper's answer to an offer.
        CounterOffered = "COUNTER_OFFERED",
        /// Granted above the limit for one person; waits for finance.
        AwaitingApproval = "AWAITING_APPROVAL",
        /// Waits for the goods.
        AwaitingGoods = "AWAITING_GOODS",
        /// The parcel is there; waits for the inspection.
        GoodsReceived = "GOODS_RECEIVED",
        /// Waits for the goods that go out.
        AwaitingReshipment = "AWAITING_RESHIPMENT",
        /// Settled; waits for the partner to pay back.
        Refunding = "REFUNDING",
        /// Done.
        Resolved = "RESOLVED",
        /// Not granted, or the goods were not what they should be.
        Rejected = "REJECTED",
        /// The shopper did not pursue it.
        Withdrawn = "WITHDRAWN",
        /// The shopper's time was over.
        Expired = "EXPIRED",
    }
}

impl AftersaleState {
    /// Whether nothing is to be done any more.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            AftersaleState::Resolved
                | AftersaleState::Rejected
                | AftersaleState::Withdrawn
                | AftersaleState::Expired
        )
    }
}

words! {
    /// Why.
    AftersaleReason {
        /// Was damaged.
        Damaged = "DAMAGED",
        /// Something else came.
        WrongItem = "WRONG_ITEM",
        /// Is not as it was shown or described.
        NotAsDescribed = "NOT_AS_DESCRIBED",
        /// Is said to be no original.
        CounterfeitClaim = "COUNTERFEIT_CLAIM",
        /// Something is missing.
        MissingParts = "MISSING_PARTS",
        /// Did not come although it is said to be delivered.
        NeverArrived = "NEVER_ARRIVED",
        /// Changed their mind.
        ChangedMind = "CHANGED_MIND",
        /// Came too late.
        Late = "LATE",
        /// Does not work.
        Defective = "DEFECTIVE",
        /// Does not fit.
        DoesNotFit = "DOES_NOT_FIT",
        /// None of these.
        Other = "OTHER",
        /// The carrier lost the parcel.
        CarrierLost = "CARRIER_LOST",
        /// The carrier destroyed the parcel.
        CarrierDamaged = "CARRIER_DAMAGED",
        /// The shopper refused the parcel.
        CarrierRefused = "CARRIER_REFUSED",
        /// The carrier brought the parcel back.
        CarrierReturned = "CARRIER_RETURNED",
    }
}

impl AftersaleReason {
    /// Whether only the service opens matters for it.
    pub fn is_carriers(self) -> bool {
        matches!(
            self,
            AftersaleReason::CarrierLost
                | AftersaleReason::CarrierDamaged
                | AftersaleReason::CarrierRefused
                | AftersaleReason::CarrierReturned
        )
    }

    /// Whether nothing is wrong with the goods: they have to come back, within the window of returns.
    pub fn is_change_of_mind(self) -> bool {
        matches!(
            self,
            AftersaleReason::ChangedMind | AftersaleReason::DoesNotFit | AftersaleReason::Other
        )
    }

    /// Whether the kind can be asked for.
    pub fn allows(self, kind: AftersaleKind) -> bool {
        match self {
            reason if reason.is_carriers() => false,
            reason if reason.is_change_of_mind() => kind.needs_goods(),
            AftersaleReason::NeverArrived => !kind.needs_goods(),
            AftersaleReason::Late => kind.pays_back(),
            _ => true,
        }
    }
}

words! {
    /// A side of a matter.
    Party {
        /// The shopper, through the partner.
        Shopper = "SHOPPER",
        /// The partner.
        Partner = "PARTNER",
        /// The retailer.
        Retailer = "RETAILER",
        /// The carrier.
        Carrier = "CARRIER",
        /// Nobody: a deadline has passed.
        Time = "TIME",
    }
}

words! {
    /// What is to be done next.
    Action {
        /// Decide.
        Review = "REVIEW",
        /// Answer the offer.
        AnswerOffer = "ANSWER_OFFER",
        /// Agree to the amount.
        ApproveRefund = "APPROVE_REFUND",
        /// Send the goods.
        SendGoods = "SEND_GOODS",
        /// Inspect them.
        InspectGoods = "INSPECT_GOODS",
        /// Send others.
        Reship = "RESHIP",
        /// Pay back.
        ExecuteRefund = "EXECUTE_REFUND",
        /// Issue the failed refund again.
        ReissueRefund = "REISSUE_REFUND",
    }
}

words! {
    /// Who bears what is paid back in the end.
    CostBearer {
        /// The retailer.
        Retailer = "RETAILER",
        /// The partner.
        Partner = "PARTNER",
        /// The creator.
        Creator = "CREATOR",
        /// The carrier.
        Carrier = "CARRIER",
    }
}

words! {
    /// What an inspection finds.
    InspectedCondition {
        /// As it left.
        Sellable = "SELLABLE",
        /// Damaged or used.
        Damaged = "DAMAGED",
        /// The retailer's own goods, and no originals.
        Counterfeit = "COUNTERFEIT",
        /// Not what was sold.
        NotOurs = "NOT_OURS",
    }
}

words! {
    /// What happened in a matter.
    StepKind {
        /// It was opened.
        Opened = "OPENED",
        /// The retailer offered something else.
        Offered = "OFFERED",
        /// The shopper took the offer.
        OfferAccepted = "OFFER_ACCEPTED",
        /// The shopper declined the offer.
        OfferDeclined = "OFFER_DECLINED",
        /// It was granted.
        Granted = "GRANTED",
        /// It was granted above the limit for one person.
        ApprovalAsked = "APPROVAL_ASKED",
        /// Finance agreed.
        Approved = "APPROVED",
        /// It was refused.
        Rejected = "REJECTED",
        /// The shopper withdrew it.
        Withdrawn = "WITHDRAWN",
        /// The parcel came.
        Received = "RECEIVED",
        /// The goods were inspected.
        Inspected = "INSPECTED",
        /// Others were sent.
        Reshipped = "RESHIPPED",
        /// The settlement went to the order service.
        Settled = "SETTLED",
        /// The refund was authorised, or issued again.
        RefundAuthorised = "REFUND_AUTHORISED",
        /// The partner could not execute the refund.
        RefundFailed = "REFUND_FAILED",
        /// The partner executed the refund.
        RefundExecuted = "REFUND_EXECUTED",
        /// Evidence was added.
        EvidenceAdded = "EVIDENCE_ADDED",
        /// The shopper's time was over.
        Expired = "EXPIRED",
        /// The partner was reminded.
        Reminded = "REMINDED",
    }
}
