//! What one partner is told, in answers, refusals, feeds and log lines, holds nothing of another's: no id, no
//! reference, no text.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::common::v1::Audience;
use contracts::policy::MethodPolicy;
use kit::auth::Claims;
use prost::Message;
use prost_reflect::{DynamicMessage, ReflectMessage, Value as Field};
use serde_json::{Value, json};

use super::bodies;
use super::strangers::{Stranger, fill, told};
use super::things::Owner;
use crate::raw;
use crate::topology::Running;

/// Pages of a list or feed that are read.
const PAGES: usize = 20;

/// Everything that was logged since it was set up.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Records what this process logs from now on, as it is logged in production.
    pub fn start() -> Log {
        let log = Log::default();
        let to = log.clone();
        let recorder = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || to.clone());
        // Where another test of this process has one already, its lines are not ours to read.
        let _ = recorder.try_init();
        log
    }

    /// The lines about calls of this caller.
    fn lines_of(&self, partner_id: &str) -> Vec<String> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&log);
        let caller = format!("partner:{partner_id}");
        text.lines()
            .filter(|line| line.contains(&caller))
            .map(str::to_owned)
            .collect()
    }
}

/// Words of a text that look like an id or a reference.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
}

/// One caller's view: all texts in all answers to all methods that need no more than the caller's own things.
struct View<'a> {
    stranger: &'a Stranger,
    token: &'a str,
    own: &'a Owner,
}

impl View<'_> {
    /// A request of the method about the caller's own things, as far as it can be made.
    fn request(&self, method: &MethodPolicy) -> Option<DynamicMessage> {
        let descriptor = self
            .stranger
            .policies
            .pool()
            .get_message_by_name(&method.request)?;
        let body = bodies::body(&method.name).unwrap_or_else(|| json!({}));
        let body = fill(&body, &self.own.things, "no.statement.here");
        DynamicMessage::deserialize(descriptor, &body).ok()
    }

    async fn ask(
        &self,
        method: &MethodPolicy,
        request: &DynamicMessage,
    ) -> Result<Vec<u8>, String> {
        let bytes = request.encode_to_vec();
        let answer = raw::call(
            &self.stranger.channel,
            &method.path,
            Some(self.token),
            bytes,
        )
        .await;
        answer.map_err(|status| told(&status))
    }

    /// What every method that reads says, page by page.
    async fn everything(&self, methods: &[Arc<MethodPolicy>]) -> Vec<(String, String)> {
        let mut said = Vec::new();
        for method in methods {
            let Some(mut request) = self.request(method) else {
                continue;
            };
            for _ in 0..PAGES {
                let answer = match self.ask(method, &request).await {
                    Ok(answer) => answer,
                    Err(status) => {
                        said.push((method.path.clone(), status));
                        break;
                    }
                };
                said.push((
                    method.path.clone(),
                    String::from_utf8_lossy(&answer).into_owned(),
                ));
                let next = next_page(self.stranger, method, &answer);
                if !next.is_some_and(|token| go_on(&mut request, token)) {
                    break;
                }
            }
        }
        said
    }
}

fn next_page(stranger: &Stranger, method: &MethodPolicy, answer: &[u8]) -> Option<String> {
    let descriptor = stranger
        .policies
        .pool()
        .get_message_by_name(&method.response)?;
    let answer = DynamicMessage::decode(descriptor, answer).ok()?;
    let token = ["next_page_token", "next_cursor"]
        .iter()
        .find_map(|name| answer.get_field_by_name(name)?.as_str().map(str::to_owned))?;
    Some(token).filter(|token| !token.is_empty())
}

/// Makes it the request for what comes next; whether it has a place for that.
fn go_on(request: &mut DynamicMessage, token: String) -> bool {
    let place = ["page_token", "cursor"]
        .into_iter()
        .find(|name| request.descriptor().get_field_by_name(name).is_some());
    if let Some(place) = place {
        request.set_field_by_name(place, Field::String(token));
    }
    place.is_some()
}

/// Asks for everything as the owner, and then as the stranger; with the stranger's own things, the owner's page tokens
/// too.
pub async fn nothing_of_another_is_told(
    running: &Running,
    stranger: &Stranger,
    owner: &Owner,
    log: &Log,
) {
    let methods: Vec<_> = (stranger.policies.methods())
        .filter(|m| m.is_unary() && !m.is_mutation())
        .filter(|m| {
            m.access
                .iter()
                .any(|access| access.audience == Audience::Partner)
        })
        .cloned()
        .collect();
    let owners_token = running.token(Claims::partner(
        "app",
        &owner.partner_id.parse().expect("an id"),
    ));
    let owners = View {
        stranger,
        token: &owners_token,
        own: owner,
    };
    let strangers = View {
        stranger,
        token: &stranger.token,
        own: &stranger.own,
    };

    // Ids of the kinds that belong to partners, and the texts that were put into the owner's things.
    let prefix = |id: &str| id.rsplit_once('_').map(|(prefix, _)| format!("{prefix}_"));
    let kinds: BTreeSet<String> = (owner.things.iter())
        .filter(|(word, _)| **word != "room")
        .filter_map(|(_, id)| prefix(id))
        .collect();
    let mut canaries: BTreeSet<String> = owner.things.values().cloned().collect();
    canaries.remove(&owner.things["room"]);
    canaries.insert(super::things::canary(&owner.partner_id));
    for (_, text) in owners.everything(&methods).await {
        let theirs = words(&text)
            .filter(|word| word.len() >= 26 && kinds.iter().any(|kind| word.starts_with(kind)));
        canaries.extend(theirs.map(str::to_owned));
    }
    assert!(canaries.len() > 100, "only {} canaries", canaries.len());

    let mut said = strangers.everything(&methods).await;
    assert!(said.len() > methods.len(), "lists have pages");
    let mut taken = 0;
    for method in &methods {
        let Some(mut request) = owners.request(method) else {
            continue;
        };
        if request
            .descriptor()
            .get_field_by_name("page_size")
            .is_none()
        {
            continue;
        }
        request.set_field_by_name("page_size", Field::I32(1));
        let Ok(answer) = owners.ask(method, &request).await else {
            continue;
        };
        let (Some(token), Some(mut own)) = (
            next_page(stranger, method, &answer),
            strangers.request(method),
        ) else {
            continue;
        };
        own.set_field_by_name("page_size", Field::I32(1));
        go_on(&mut own, token);
        let answer = strangers.ask(method, &own).await;
        let text = answer.map_or_else(
            |status| status,
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        );
        said.push((format!("{} with another's page token", method.path), text));
        taken += 1;
    }
    assert!(taken >= 5, "only {taken} page tokens of another were tried");
    said.extend(stranger.answers());
    said.extend(
        log.lines_of(&stranger.own.partner_id)
            .into_iter()
            .map(|line| ("log".into(), line)),
    );

    let own: BTreeSet<&String> = stranger.own.things.values().collect();
    let told: Vec<Value> = said
        .iter()
        .flat_map(|(what, text)| {
            let found = words(text)
                .filter(|word| canaries.contains(*word) && !own.contains(&(*word).to_owned()));
            found
                .map(move |word| json!([what, word]))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(told.is_empty(), "{} told: {told:#?}", told.len());
}
