//! Matters after the sale: an offer instead of a return, an exchange, and one that waits.

use std::time::Duration;

use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::decide_aftersale_request::Decision;
use contracts::order::v1 as order;

use super::super::warehouse::lock;
use super::super::world::ask;
use super::{Bought, SecondAct, Telling, matters_turn, refused, word};

fn photo(bought: &Bought) -> pb::Evidence {
    pb::Evidence {
        evidence_reference: format!("photos/{}", bought.order_id),
        sha256_hex: "5e".repeat(32),
        media_type: "image/jpeg".into(),
        size_bytes: 184_320,
    }
}

fn instructions() -> pb::ReturnInstructions {
    pb::ReturnInstructions {
        return_site_reference: "returns-1".into(),
        carrier_code: "colis".into(),
        tracking_number: "R-2207".into(),
        ..Default::default()
    }
}

impl SecondAct<'_> {
    /// The shopper wants to send it back; the retailer offers a part of the money for keeping it.
    pub(super) async fn counter_offer(&self, bought: &Bought) -> anyhow::Result<Telling> {
        let mut told = Telling::of("an offer: keep it for less", bought);
        let (platform, world) = (&self.platform(bought).caller, self.desk.world);
        let matter = self
            .asked_for(
                &mut told,
                bought,
                pb::AftersaleKind::ReturnAndRefund,
                pb::AftersaleReason::NotAsDescribed,
            )
            .await?;
        let part = bought.part(30);
        let offer = |key: &str| pb::DecideAftersaleRequest {
            request_id: bought.key(key),
            aftersale_id: matter.aftersale_id.clone(),
            decision: Some(Decision::CounterOffer(pb::AftersaleCounterOffer {
                kind: pb::AftersaleKind::RefundOnly.into(),
                amounts: vec![pb::LineAmount {
                    order_line_id: bought.line_id.clone(),
                    amount: Some(bought.money(part)),
                }],
                message: "Keep it, and get a part of the price back.".into(),
                ..Default::default()
            })),
            etag: String::new(),
        };
        let request = offer("offer");
        let offered = ask!(
            "an offer was not made",
            world.care,
            aftersales.decide_aftersale(request)
        )?;
        let offered = offered.aftersale.unwrap_or_default();
        told.say(format!(
            "the retailer offers {} to keep the goods; {}",
            bought.says(part),
            matters_turn(offered.next_action.as_ref())
        ));
        let request = pb::AnswerAftersaleOfferRequest {
            request_id: bought.key("take"),
            aftersale_id: matter.aftersale_id.clone(),
            accept: true,
            offer_number: offered.offer.map_or(0, |offer| offer.offer_number),
            etag: String::new(),
        };
        let taken = ask!(
            "an offer was not taken",
            platform,
            aftersales.answer_aftersale_offer(request)
        )?;
        let taken = taken.aftersale.unwrap_or_default();
        told.say(format!(
            "the shopper takes it; {}",
            matters_turn(taken.next_action.as_ref())
        ));
        let late = offer("late");
        refused!("WRONG_STATE", world.care, aftersales.decide_aftersale(late))?;
        told.say("another offer now is refused: WRONG_STATE");
        self.agreed_to(&mut told, bought, &taken).await?;
        self.settled_and_paid(&mut told, bought, &taken.aftersale_id)
            .await?;
        lock(&self.done).offers += 1;
        Ok(told)
    }

    /// The goods come back and are inspected, then others go out; no money moves.
    pub(super) async fn exchange(&self, bought: &Bought) -> anyhow::Result<Telling> {
        let mut told = Telling::of("an exchange", bought);
        let world = self.desk.world;
        let matter = self
            .asked_for(
                &mut told,
                bought,
                pb::AftersaleKind::Exchange,
                pb::AftersaleReason::DoesNotFit,
            )
            .await?;
        let id = matter.aftersale_id.clone();
        let request = pb::DecideAftersaleRequest {
            request_id: bought.key("grant"),
            aftersale_id: id.clone(),
            decision: Some(Decision::Grant(pb::AftersaleGrant {
                instructions: Some(instructions()),
                message: "Please send it in the box it came in.".into(),
                ..Default::default()
            })),
            etag: String::new(),
        };
        let granted = ask!(
            "an exchange was not granted",
            world.care,
            aftersales.decide_aftersale(request)
        )?
        .aftersale
        .unwrap_or_default();
        self.agreed_to(&mut told, bought, &granted).await?;
        let inspection = |key: &str| pb::InspectAftersaleRequest {
            request_id: bought.key(key),
            aftersale_id: id.clone(),
            units: vec![pb::InspectedUnits {
                order_line_id: bought.line_id.clone(),
                quantity: bought.quantity,
                condition: pb::InspectedCondition::Sellable.into(),
                restock: true,
            }],
            message: "As it left.".into(),
            etag: String::new(),
        };
        let inspector = &self.cast.inspector;
        let early = inspection("early");
        refused!(
            "WRONG_STATE",
            inspector,
            aftersales.inspect_aftersale(early)
        )?;
        told.say(
            "granted with a label; an inspection before the goods came is refused: WRONG_STATE",
        );
        let request = pb::RecordAftersaleReceivedRequest {
            request_id: bought.key("came"),
            aftersale_id: id.clone(),
            etag: String::new(),
        };
        ask!(
            "goods to be exchanged were not received",
            world.warehouse,
            aftersales.record_aftersale_received(request)
        )?;
        let request = inspection("inspect");
        let found = ask!(
            "goods to be exchanged were not inspected",
            inspector,
            aftersales.inspect_aftersale(request)
        )?;
        let found = found.aftersale.unwrap_or_default();
        told.say(format!(
            "the goods came and are SELLABLE: they go back on sale; {}",
            matters_turn(found.next_action.as_ref())
        ));
        self.sent_anew(&mut told, bought, &found).await?;
        let (line_id, quantity) = (bought.line_id.clone(), bought.quantity);
        self.desk.followers[bought.partner]
            .until("exchanged goods are back", self.desk.patience, |known| {
                let order = known.states.get(&bought.order_id);
                let line = order.and_then(|o| o.lines.iter().find(|l| l.order_line_id == line_id));
                let back = line.and_then(|l| l.quantities).map_or(0, |q| q.returned);
                back == quantity
            })
            .await?;
        lock(&self.done).exchanges += 1;
        Ok(told)
    }

    async fn sent_anew(
        &self,
        told: &mut Telling,
        bought: &Bought,
        matter: &pb::Aftersale,
    ) -> anyhow::Result<()> {
        let variant_id = matter
            .lines
            .first()
            .map(|line| line.variant_id.clone())
            .unwrap_or_default();
        let request = pb::RecordAftersaleReshippedRequest {
            request_id: bought.key("anew"),
            aftersale_id: matter.aftersale_id.clone(),
            reshipment: Some(pb::Reshipment {
                carrier_code: "colis".into(),
                tracking_number: "X-4410".into(),
                units: vec![pb::ReshippedUnits {
                    order_line_id: bought.line_id.clone(),
                    variant_id,
                    quantity: bought.quantity,
                }],
                ship_time: None,
            }),
            etag: String::new(),
        };
        let warehouse = &self.desk.world.warehouse;
        let sent = ask!(
            "others were not sent",
            warehouse,
            aftersales.record_aftersale_reshipped(request)
        )?;
        let sent = sent.aftersale.unwrap_or_default();
        self.expect(
            sent.state() == pb::AftersaleState::Resolved,
            "others went out",
            sent.state(),
        );
        told.say("others went out: RESOLVED, and no money moved");
        Ok(())
    }

    /// A wish that nobody has looked at yet: it says whose turn it is and until when, and time would grant it.
    pub(super) async fn left_open(&self, bought: &Bought) -> anyhow::Result<Telling> {
        let mut told = Telling::of("one that waits", bought);
        let matter = self
            .asked_for(
                &mut told,
                bought,
                pb::AftersaleKind::Replacement,
                pb::AftersaleReason::Defective,
            )
            .await?;
        let until = matter
            .next_action
            .and_then(|next| next.deadline)
            .map(|deadline| deadline.to_string())
            .unwrap_or_default();
        told.say(format!("until {until}; after it, it is granted"));
        Ok(told)
    }

    async fn asked_for(
        &self,
        told: &mut Telling,
        bought: &Bought,
        kind: pb::AftersaleKind,
        why: pb::AftersaleReason,
    ) -> anyhow::Result<pb::Aftersale> {
        let platform = &self.platform(bought).caller;
        let request = pb::CheckAftersaleEligibilityRequest {
            order_id: bought.order_id.clone(),
        };
        let may = ask!(
            "what can be asked for could not be read",
            platform,
            aftersales.check_aftersale_eligibility(request)
        )?;
        let offered =
            may.lines.iter().flat_map(|line| &line.options).any(|o| {
                o.kind() == kind && o.reasons().any(|reason| reason == why) && o.quantity > 0
            });
        self.expect(offered, "what can be asked for", &may.lines);
        let request = pb::RequestAftersaleRequest {
            request_id: bought.key("want"),
            order_id: bought.order_id.clone(),
            kind: kind.into(),
            reason: why.into(),
            lines: vec![pb::AftersaleLineDraft {
                order_line_id: bought.line_id.clone(),
                quantity: bought.quantity,
                amount: None,
            }],
            evidence: vec![photo(bought)],
        };
        let matter = ask!(
            "a matter was not opened",
            platform,
            aftersales.request_aftersale(request)
        )?
        .aftersale
        .unwrap_or_default();
        told.say(format!(
            "the shopper wants {} because {}; {}",
            word(kind.as_str_name(), "AFTERSALE_KIND_"),
            word(why.as_str_name(), "AFTERSALE_REASON_"),
            matters_turn(matter.next_action.as_ref())
        ));
        Ok(matter)
    }

    /// Finance agrees where the amount is above what one person grants.
    async fn agreed_to(
        &self,
        told: &mut Telling,
        bought: &Bought,
        matter: &pb::Aftersale,
    ) -> anyhow::Result<()> {
        if matter.state() != pb::AftersaleState::AwaitingApproval {
            return Ok(());
        }
        let request = pb::ApproveAftersaleRefundRequest {
            request_id: bought.key("approve"),
            aftersale_id: matter.aftersale_id.clone(),
            approve: true,
            ..Default::default()
        };
        let finance = &self.desk.world.finance;
        let agreed = ask!(
            "an amount was not agreed to",
            finance,
            aftersales.approve_aftersale_refund(request)
        )?;
        let agreed = agreed.aftersale.unwrap_or_default();
        told.say(format!(
            "finance agrees to the amount; {}",
            matters_turn(agreed.next_action.as_ref())
        ));
        Ok(())
    }

    /// What a matter was settled on reaches the platform by its feed; when it has paid, the matter is over.
    async fn settled_and_paid(
        &self,
        told: &mut Telling,
        bought: &Bought,
        aftersale_id: &str,
    ) -> anyhow::Result<()> {
        let follower = &self.desk.followers[bought.partner];
        follower
            .until(
                "the refund of a matter is due",
                self.desk.patience,
                |known| {
                    known
                        .refunds
                        .values()
                        .any(|r| r.aftersale_id == aftersale_id)
                },
            )
            .await?;
        let refund: Option<order::Refund> = follower
            .refunds()
            .into_iter()
            .find(|r| r.aftersale_id == aftersale_id);
        self.pay_back(told, bought, &refund.unwrap_or_default())
            .await?;
        let mut state = pb::AftersaleState::Unspecified;
        for _ in 0..600 {
            let request = pb::GetAftersaleRequest {
                aftersale_id: aftersale_id.to_owned(),
            };
            let platform = &self.platform(bought).caller;
            let found = ask!(
                "a matter could not be read",
                platform,
                aftersales.get_aftersale(request)
            )?;
            state = found.aftersale.unwrap_or_default().state();
            if state == pb::AftersaleState::Resolved {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.expect(
            state == pb::AftersaleState::Resolved,
            "a matter that is paid back",
            state,
        );
        told.say("the matter is RESOLVED");
        Ok(())
    }
}
