//! Who looks at a room, and from where.
//!
//! What differs between onlookers differs by [`View`] alone, so everything that is shown is made once per view and
//! shared by all who look that way.

use contracts::id::PartnerId;

use super::question::Question;
use super::room::Place;

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Eyes {
    /// The retailer, who sees everything.
    Retailer,
    /// A partner, who sees what is its own.
    Partner(PartnerId),
    /// A shopper in a partner's app.
    Viewer(PartnerId),
}

/// Who looks, and at which outlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Who looks.
    pub eyes: Eyes,
    /// The outlet that things are resolved for; only the retailer may look without one.
    pub place: Option<Place>,
}

impl View {
    /// Whether a question that waits for its answer is seen as it is asked: by the retailer, and by those who look at
    /// the asker's own outlet.
    pub fn sees_asked(&self, question: &Question) -> bool {
        match self.eyes {
            Eyes::Retailer => true,
            Eyes::Partner(_) | Eyes::Viewer(_) => self
                .place
                .is_some_and(|place| place.outlet_id == question.place.outlet_id),
        }
    }
}

impl Eyes {
    /// Whether what belongs to a partner is seen.
    pub fn sees(&self, owner: &PartnerId) -> bool {
        match self {
            Eyes::Retailer => true,
            Eyes::Partner(partner) | Eyes::Viewer(partner) => partner == owner,
        }
    }

    /// Whether the asker's name with its partner is shown: to that partner and the retailer, never to shoppers.
    pub fn see_asker(&self, question: &Question) -> bool {
        match self {
            Eyes::Retailer => true,
            Eyes::Partner(partner) => *partner == question.place.partner_id,
            Eyes::Viewer(_) => false,
        }
    }

    /// Whether it is shown where a question was asked: partners learn nothing of each other.
    pub fn see_place(&self, question: &Question) -> bool {
        match self {
            Eyes::Retailer => true,
            Eyes::Partner(partner) | Eyes::Viewer(partner) => *partner == question.place.partner_id,
        }
    }
}
