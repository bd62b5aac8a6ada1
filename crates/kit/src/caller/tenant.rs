//! Whose rows a unit of work may see and change.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use contracts::common::v1::Audience;
use contracts::id::PartnerId;

use super::Caller;

/// Whose rows a unit of work may see and change. Only callers make one: nobody can name a partner for themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenant(Reach);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Reach {
    #[default]
    Nobody,
    One(PartnerId),
    /// Sorted, and at least two.
    Several(Arc<[PartnerId]>),
    All,
}

impl Tenant {
    /// Everything: how it is written in the database.
    pub const ALL: &'static str = "*";

    /// What all these callers may see together: a batch carries out the commands of many.
    pub fn of<'a>(callers: impl IntoIterator<Item = &'a Caller>) -> Tenant {
        let mut partners: BTreeSet<PartnerId> = BTreeSet::new();
        let mut last = None;
        for caller in callers {
            match caller.tenant().0 {
                Reach::All => return Tenant(Reach::All),
                // Neighbours in a batch are mostly of one partner.
                Reach::One(partner) if last != Some(partner) => {
                    last = Some(partner);
                    partners.insert(partner);
                }
                Reach::One(_) | Reach::Nobody => {}
                Reach::Several(more) => partners.extend(more.iter().copied()),
            }
        }
        Tenant(match (partners.len(), partners.first()) {
            (0, _) | (_, None) => Reach::Nobody,
            (1, Some(partner)) => Reach::One(*partner),
            _ => Reach::Several(partners.into_iter().collect()),
        })
    }

    /// Whether it is everything: the retailer's, and the suite's own.
    pub fn is_all(&self) -> bool {
        self.0 == Reach::All
    }

    /// Whether rows with this partner are within reach.
    pub fn sees(&self, partner_id: &str) -> bool {
        match &self.0 {
            Reach::Nobody => false,
            Reach::One(partner) => partner.as_str() == partner_id,
            Reach::Several(partners) => partners
                .binary_search_by(|partner| partner.as_str().cmp(partner_id))
                .is_ok(),
            Reach::All => true,
        }
    }

    /// Whether all that the other reaches is within reach.
    pub fn covers(&self, other: &Tenant) -> bool {
        match (&self.0, &other.0) {
            (Reach::All, _) | (_, Reach::Nobody) => true,
            (_, Reach::All) => false,
            (_, Reach::One(partner)) => self.sees(partner.as_str()),
            (_, Reach::Several(partners)) => {
                partners.iter().all(|partner| self.sees(partner.as_str()))
            }
        }
    }
}

/// As the database's policies read it: nothing for nobody, ids with commas between, or a star for everything. Ids have
/// letters, digits and an underscore only, so it can stand in a text of SQL.
impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reach::Nobody => Ok(()),
            Reach::One(partner) => f.write_str(partner.as_str()),
            Reach::Several(partners) => {
                for (at, partner) in partners.iter().enumerate() {
                    if at > 0 {
                        f.write_str(",")?;
                    }
                    f.write_str(partner.as_str())?;
                }
                Ok(())
            }
            Reach::All => f.write_str(Tenant::ALL),
        }
    }
}

impl Caller {
    /// Whose rows the caller may see: everybody's for the retailer and the suite's own services, their own for
    /// partners and for viewers on a partner's outlet, nobody's for anybody else.
    pub fn tenant(&self) -> Tenant {
        Tenant(match (self.audience, self.partner_id) {
            (Audience::Retailer | Audience::Service, _) => Reach::All,
            (Audience::Partner | Audience::Viewer, Some(partner)) => Reach::One(partner),
            (Audience::Partner | Audience::Viewer | Audience::Unspecified, _) => Reach::Nobody,
        })
    }
}

#[cfg(test)]
mod security {
    use super::*;

    fn partner(number: u128) -> Caller {
        Caller {
            audience: Audience::Partner,
            partner_id: Some(PartnerId::from_uuid(number)),
            ..Caller::system("x")
        }
    }

    fn text(number: u128) -> String {
        PartnerId::from_uuid(number).to_string()
    }

    #[test]
    fn tenancy_follows_from_who_calls() {
        let nobody = Caller {
            partner_id: None,
            ..partner(1)
        };
        let unspecified = Caller {
            audience: Audience::Unspecified,
            ..partner(1)
        };
        for caller in [nobody, unspecified] {
            assert_eq!(caller.tenant(), Tenant::default());
            assert_eq!(caller.tenant().to_string(), "");
            assert!(!caller.tenant().sees(&text(1)) && !caller.tenant().sees(""));
        }
        let viewer = Caller {
            audience: Audience::Viewer,
            ..partner(1)
        };
        for caller in [partner(1), viewer] {
            assert_eq!(caller.tenant().to_string(), text(1));
            assert!(caller.tenant().sees(&text(1)));
            assert!(!caller.tenant().sees(&text(2)) && !caller.tenant().sees(""));
            assert!(!caller.tenant().sees(Tenant::ALL));
        }
        let retailer = Caller {
            audience: Audience::Retailer,
            ..partner(1)
        };
        for caller in [retailer, Caller::system("x")] {
            assert_eq!(caller.tenant().to_string(), "*");
            assert!(caller.tenant().is_all() && caller.tenant().sees(&text(7)));
        }
    }

    #[test]
    fn tenancy_of_a_batch_is_that_of_its_callers_together() {
        let (one, two, three) = (partner(1), partner(2), partner(3));
        let both = Tenant::of([&two, &one, &two]);
        assert_eq!(both.to_string(), format!("{},{}", text(1), text(2)));
        assert!(both.sees(&text(1)) && both.sees(&text(2)) && !both.sees(&text(3)));
        assert!(
            both.covers(&one.tenant()) && both.covers(&both) && both.covers(&Tenant::default())
        );
        assert!(!both.covers(&three.tenant()) && !both.covers(&Tenant::of([&one, &three])));
        assert!(!both.covers(&Caller::system("x").tenant()));
        assert!(!one.tenant().covers(&both));
        assert_eq!(Tenant::of([&one, &one]), one.tenant());
        assert_eq!(Tenant::of([]), Tenant::default());
        let all = Tenant::of([&one, &Caller::system("x")]);
        assert!(all.is_all() && all.covers(&both));
    }
}
