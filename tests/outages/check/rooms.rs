//! Questions are kept; of the likes, a crash may cost those of its last second.

use std::collections::HashMap;

use contracts::room::v1 as pb;

use super::{Facts, Findings, Kind, State};
use crate::journal::{Answer, Call};

pub fn check(facts: &Facts, state: &State, findings: &mut Findings) {
    questions(facts, state, findings);
    likes(facts, state, findings);
}

fn questions(facts: &Facts, state: &State, findings: &mut Findings) {
    let mut by_text: HashMap<&str, Vec<&pb::Question>> = HashMap::new();
    for question in &state.questions {
        by_text.entry(&question.text).or_default().push(question);
    }
    for (call, answer) in facts.acknowledged() {
        let (Call::Question { text, .. }, Answer::Question { question }) = (call, answer) else {
            continue;
        };
        let found = by_text.get(text.as_str()).map(Vec::as_slice);
        let found: Vec<&str> = found
            .unwrap_or_default()
            .iter()
            .map(|q| q.question_id.as_str())
            .collect();
        findings.that(Kind::QuestionLost, found == [question.as_str()], || {
            format!("{text} was acknowledged as {question}, the room has {found:?}")
        });
    }
}

fn likes(facts: &Facts, state: &State, findings: &mut Findings) {
    for room in &facts.world.rooms {
        let (mut at_least, mut at_most) = (0_i64, 0_i64);
        for made in &facts.calls {
            let Call::Like {
                room: liked, count, ..
            } = &made.call
            else {
                continue;
            };
            if liked != room {
                continue;
            }
            let count = i64::from(*count);
            // A key is remembered in memory only: a try that a crash cut off may count beside its repetition.
            at_most += count * i64::from(made.tries.max(1));
            if let Some((at, _)) = &made.acknowledged {
                let lost = facts
                    .room_kills
                    .iter()
                    .any(|kill| (kill - facts.like_loss_micros..=*kill).contains(at));
                at_least += if lost { 0 } else { count };
            }
        }
        let likes = state.likes.get(room).copied().unwrap_or_default();
        findings.that(
            Kind::LikesWrong,
            (at_least..=at_most).contains(&likes),
            || format!("{room} has {likes} likes, not {at_least} to {at_most}"),
        );
    }
}
