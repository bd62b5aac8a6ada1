//! To a partner, what belongs to another and what does not exist are the same: every field of every method that
//! partners may call and that names a tenant's thing, asked for the other's id and for one nobody has. The fields are
//! read from the descriptors, so a new one fails here until somebody says how a stranger would ask.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::common::v1::{Audience, Ownership, RetailerRole};
use contracts::id::PartnerId;
use contracts::policy::{MethodPolicy, Policies};
use kit::auth::{Claims, SigningKey, jws};
use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor};
use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::bodies::{self, ALIKE, ELSEWHERE, NARROWING};
use super::canaries::{self, Log};
use super::things::{self, Owner, ask};
use crate::raw;
use crate::topology::Running;

/// A field of a request: its way from the request, and the word of what it names.
struct Named {
    path: Vec<FieldDescriptor>,
    word: String,
}

impl Named {
    fn label(&self, method: &str) -> String {
        let path: Vec<_> = self.path.iter().map(FieldDescriptor::name).collect();
        format!("{method}.{}", path.join("."))
    }
}

/// Every field of a message that names a tenant's thing.
fn named(
    message: &MessageDescriptor,
    policies: &Policies,
    before: &[FieldDescriptor],
) -> Vec<Named> {
    let mut found = Vec::new();
    for field in message.fields() {
        let path = [before, std::slice::from_ref(&field)].concat();
        if let Some(policy) = policies.field(field.full_name())
            && policy.ownership == Ownership::Tenant
        {
            let word = policy
                .resource
                .clone()
                .expect("an owned field names a resource");
            found.push(Named { path, word });
        } else if let Some(inner) = field.kind().as_message()
            && path.len() < 6
        {
            found.extend(named(inner, policies, &path));
        }
    }
    found
}

/// Puts an id where the path leads.
fn place(body: &mut Value, path: &[FieldDescriptor], id: &str) {
    let [field, rest @ ..] = path else {
        return;
    };
    let inner = &mut body[field.json_name()];
    if rest.is_empty() {
        *inner = if field.is_list() {
            json!([id])
        } else {
            json!(id)
        };
    } else if field.is_list() {
        if inner.is_null() {
            *inner = json!([{}]);
        }
        place(&mut inner[0], rest, id);
    } else {
        place(inner, rest, id);
    }
}

/// Puts the caller's own things where the body says so.
pub fn fill(body: &Value, own: &BTreeMap<&'static str, String>, statement: &str) -> Value {
    match body {
        Value::String(text) => match text.strip_prefix('$') {
            Some("statement") => json!(statement),
            Some(word) => json!(own.get(word).cloned().unwrap_or_else(|| unknown_of(word))),
            None => body.clone(),
        },
        Value::Array(all) => all.iter().map(|one| fill(one, own, statement)).collect(),
        Value::Object(all) => {
            let fields = all
                .iter()
                .map(|(name, one)| (name.clone(), fill(one, own, statement)));
            Value::Object(fields.collect())
        }
        _ => body.clone(),
    }
}

const NOBODYS: &str = "01h455vb4pex5vsknk084sn02q";

fn unknown_of(word: &str) -> String {
    format!("{word}_{NOBODYS}")
}

/// An id of the same kind that nobody has.
fn unknown_like(id: &str) -> String {
    let (prefix, _) = id.rsplit_once('_').expect("ids have a prefix");
    format!("{prefix}_{NOBODYS}")
}

/// A partner that asks for what is another's.
pub struct Stranger {
    pub channel: Channel,
    pub policies: Policies,
    pub token: String,
    key: SigningKey,
    pub own: Owner,
    /// What was answered to requests for another's things, with these things left out.
    answers: Mutex<Vec<(String, String)>>,
}

impl Stranger {
    async fn of(running: &Running, channel: &Channel, ops: &str, own: Owner) -> Stranger {
        let key = SigningKey::generate();
        let path = "/vitrine.catalog.v1.PartnerService/AddPaymentKey";
        let request = catalog::AddPaymentKeyRequest {
            request_id: own.partner_id.clone(),
            partner_id: own.partner_id.clone(),
            kid: key.kid().into(),
            public_key_jwk: key.public_jwk().to_string(),
        };
        let _: catalog::AddPaymentKeyResponse = ask(channel, ops, path, request).await;
        let partner: PartnerId = own.partner_id.parse().expect("an id");
        Stranger {
            channel: channel.clone(),
            policies: Policies::load().expect("whole contracts"),
            token: running.token(Claims::partner("app", &partner)),
            key,
            own,
            answers: Mutex::default(),
        }
    }

    fn statement(&self, order_id: &str) -> String {
        let claims = json!({ "order_id": order_id, "kind": "CHARGE", "minor_units": 100, "currency_code": "EUR",
            "payment_reference": "stranger", "paid_at": 1_790_000_000 });
        jws::sign(
            &self.key,
            "vitrine-payment+jwt",
            claims.to_string().as_bytes(),
        )
    }

    /// Asks with this id in this field; what was answered, without the id and the name of this one call.
    async fn said(&self, method: &MethodPolicy, field: &Named, id: &str) -> (Code, String) {
        let body = bodies::body(&method.name).unwrap_or_else(|| {
            panic!(
                "{}: say how a stranger would ask, or where that is tested",
                method.path
            )
        });
        let mut body = fill(&body, &self.own.things, &self.statement(id));
        place(&mut body, &field.path, id);
        if !body["requestId"].is_null() {
            body["requestId"] = json!(id);
        }
        let descriptor = self
            .policies
            .pool()
            .get_message_by_name(&method.request)
            .expect("a request");
        let message = DynamicMessage::deserialize(descriptor, &body)
            .unwrap_or_else(|e| panic!("{}: {e}: {body}", method.path))
            .encode_to_vec();
        let ask = || {
            raw::call(
                &self.channel,
                &method.path,
                Some(&self.token),
                message.clone(),
            )
        };
        // The stranger's key reaches the order service by a feed; until then its statements are unknown.
        testkit::eventually_async(Duration::from_secs(10), || async {
            !matches!(ask().await, Err(status) if status.code() == Code::Unauthenticated)
        })
        .await;
        let (code, text) = match ask().await {
            Ok(answer) => (Code::Ok, String::from_utf8_lossy(&answer).into_owned()),
            Err(status) => (status.code(), told(&status)),
        };
        let text = text.replace(id, "$ID");
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push((field.label(&method.name), text.clone()));
        (code, text)
    }

    /// What was answered so far to requests for another's things; the ids that were asked for are left out.
    pub fn answers(&self) -> Vec<(String, String)> {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// All that a status says, in code, message and details.
pub fn told(status: &Status) -> String {
    let (code, message, details) = raw::said(status);
    let details = tonic_types::pb::Status::decode(details.as_slice()).expect("rich details");
    format!("{code:?} {message} {details:?}")
}

/// Whether a method's answer may differ in the id of the request and nothing else.
pub async fn foreign_and_unknown_look_the_same(running: &Running) {
    let log = Log::start();
    let channel = raw::connect(&running.addresses.order).await;
    let roles = [
        RetailerRole::Ops,
        RetailerRole::Warehouse,
        RetailerRole::Finance,
        RetailerRole::Care,
    ];
    let ops = running.token(Claims::retailer("ops", &roles));
    let mut all = Vec::new();
    for partner in things::partners(&channel, &ops).await {
        all.push(things::owner(&channel, &ops, partner).await);
    }
    all.sort_by_key(|owner| owner.things.len());
    let owner = all.pop().expect("the scenario has partners");
    let own = all.pop().expect("the scenario has another partner");
    let stranger = Stranger::of(running, &channel, &ops, own).await;

    let (mut tried, mut wrong) = (BTreeSet::new(), Vec::new());
    for method in stranger.policies.methods() {
        let theirs = |audience| matches!(audience, Audience::Partner | Audience::Viewer);
        if !method.access.iter().any(|access| theirs(access.audience)) {
            continue;
        }
        let request = stranger
            .policies
            .pool()
            .get_message_by_name(&method.request)
            .expect("a request");
        for field in named(&request, &stranger.policies, &[]) {
            let label = field.label(&method.name);
            if ELSEWHERE.iter().any(|(name, _)| *name == label) {
                tried.insert(label);
                continue;
            }
            let Some(foreign) = owner.things.get(field.word.as_str()) else {
                wrong.push(format!("{label}: the scenario has no {}", field.word));
                continue;
            };
            let theirs = stranger.said(method, &field, foreign).await;
            let nobodys = stranger.said(method, &field, &unknown_like(foreign)).await;
            if theirs != nobodys {
                wrong.push(format!(
                    "{label}: a foreign one {theirs:?}, an unknown one {nobodys:?}"
                ));
            }
            let narrows = NARROWING.contains(&label.as_str()) && theirs.0 == Code::Ok;
            let alike = ALIKE.iter().any(|(name, _)| *name == label);
            if theirs.0 != Code::NotFound && !narrows && !alike {
                wrong.push(format!("{label}: {theirs:?}"));
            }
            tried.insert(label);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        tried.len(),
        wrong.join("\n")
    );
    assert!(tried.len() >= 90, "only {} fields", tried.len());
    for (name, _) in ELSEWHERE.iter().chain(ALIKE) {
        assert!(tried.contains(*name), "{name} is no field any more");
    }
    canaries::nothing_of_another_is_told(running, &stranger, &owner, &log).await;
}
