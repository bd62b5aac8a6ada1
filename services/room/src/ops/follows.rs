//! Creators, and shoppers who follow them and channels.

use ::store::{Operation, Tx};
use contracts::id::CreatorId;
use kit::clock::Micros;
use kit::errors::{ErrorReason, Fault, Refusal};

use super::channels::visible_channel;
use crate::events;
use crate::model::{Creator, Eyes, Follow, Shopper, Target};
use crate::store::follow::{
    creator_by_id, creator_insert, creators_list, follow_delete, follow_insert, followers_add,
    followers_of, follows_counted, follows_list,
};

/// Registers a creator.
pub struct RegisterCreator {
    /// Name that viewers see.
    pub display_name: String,
    /// What the retailer's own books call the payee; may be empty.
    pub payee_reference: String,
}

impl Operation for RegisterCreator {
    type Output = Creator;

    fn name(&self) -> &'static str {
        "creator.register"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Creator, Fault> {
        let creator = Creator {
            id: CreatorId::from_uuid(tx.ids().next()),
            display_name: self.display_name.clone(),
            payee_reference: self.payee_reference.clone(),
            create_time: tx.now(),
        };
        creator_insert(tx, &creator).await?;
        tx.publish(events::creator_registered(&creator));
        tx.audit(self.name(), creator.id, "registered");
        Ok(creator)
    }
}

/// One creator, with how many follow.
pub struct ReadCreator {
    /// Which.
    pub creator_id: CreatorId,
}

/// A creator that is there.
pub async fn known_creator(tx: &mut Tx, creator: &CreatorId) -> Result<Creator, Fault> {
    let found = creator_by_id(tx, creator).await?;
    Ok(found.ok_or_else(|| Refusal::not_found("creator"))?)
}

impl Operation for ReadCreator {
    type Output = (Creator, i64);

    fn name(&self) -> &'static str {
        "creator.read"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(Creator, i64), Fault> {
        let creator = known_creator(tx, &self.creator_id).await?;
        let followers = followers_of(tx, &[Target::Creator(creator.id)]).await?;
        Ok((creator, followers.into_iter().sum()))
    }
}

/// A page of creators, by creation, with how many follow each.
pub struct ReadCreators {
    /// After this one; empty for the beginning.
    pub after: String,
    /// At most so many.
    pub limit: i64,
}

impl Operation for ReadCreators {
    type Output = Vec<(Creator, i64)>;

    fn name(&self) -> &'static str {
        "creator.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<(Creator, i64)>, Fault> {
        let creators = creators_list(tx, &self.after, self.limit).await?;
        let targets: Vec<Target> = creators
            .iter()
            .map(|creator| Target::Creator(creator.id))
            .collect();
        let followers = followers_of(tx, &targets).await?;
        Ok(creators.into_iter().zip(followers).collect())
    }
}

/// A shopper begins or ceases to follow something; done again it changes nothing.
pub struct ChangeFollow {
    /// Who.
    pub shopper: Shopper,
    /// What.
    pub target: Target,
    /// Whether it is to be followed.
    pub follow: bool,
    /// With whose eyes the target is looked for.
    pub eyes: Eyes,
    /// The most things that one shopper follows.
    pub follows_max: i64,
}

impl Operation for ChangeFollow {
    /// How many follow it now.
    type Output = i64;

    fn name(&self) -> &'static str {
        if self.follow {
            "follow.begin"
        } else {
            "follow.end"
        }
    }

    async fn run(&self, tx: &mut Tx) -> Result<i64, Fault> {
        match &self.target {
            Target::Channel(channel) => drop(visible_channel(tx, channel, &self.eyes).await?),
            Target::Creator(creator) => drop(known_creator(tx, creator).await?),
        }
        let changed = if self.follow {
            follow_insert(tx, &self.shopper, &self.target).await?
        } else {
            follow_delete(tx, &self.shopper, &self.target).await?
        };
        tx.audit(
            self.name(),
            self.target.key(),
            if changed { "done" } else { "nothing to do" },
        );
        if !changed {
            return Ok(followers_of(tx, std::slice::from_ref(&self.target))
                .await?
                .into_iter()
                .sum());
        }
        if self.follow
            && follows_counted(tx, &self.shopper, self.follows_max + 1).await? > self.follows_max
        {
            let message = format!(
                "The shopper follows {} things, which is the most one can; unfollow something first.",
                self.follows_max
            );
            return Err(Refusal::new(ErrorReason::LimitExceeded, message).into());
        }
        tx.publish(events::follow_changed(
            &self.shopper,
            &self.target,
            self.follow,
        ));
        // Last: everybody who follows the same waits for this row.
        followers_add(tx, &self.target, if self.follow { 1 } else { -1 }).await
    }
}

/// What a shopper follows, the latest first.
pub struct ReadFollows {
    /// Who.
    pub shopper: Shopper,
    /// Before this place in the list.
    pub before: (Micros, String),
    /// At most so many.
    pub limit: i64,
}

impl Operation for ReadFollows {
    type Output = Vec<Follow>;

    fn name(&self) -> &'static str {
        "follow.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Follow>, Fault> {
        let (time, key) = &self.before;
        follows_list(tx, &self.shopper, (*time, key), self.limit).await
    }
}
