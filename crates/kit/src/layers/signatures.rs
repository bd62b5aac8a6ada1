//! Requests that are signed, for partners that want it: whoever has a partner's token still cannot call without its key.
//!
//! Last before the handler, because the message has to be there as a whole to be digested, and a caller's share and rate
//! bound how much of that is under way.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use contracts::common::v1::Audience;
use contracts::id::PartnerId;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tonic::Status;
use tonic::body::Body;

use super::{Call, Handle, LayerDeps, Request, Response, Target, refuse};
use crate::auth::jws::PublicKey;
use crate::auth::message::{
    CONTENT_DIGEST, Covered, MessageSignature, Problem, SIGNATURE, SIGNATURE_INPUT, content_digest,
    only_message,
};
use crate::clock::{Micros, SharedClock};
use crate::errors::{ErrorReason, Refusal};
use crate::telemetry::Metrics;

/// More keys of one partner than this are a mistake.
const KEYS_MAX: usize = 32;

/// Who signs requests, and how long a signature counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SignatureConfig {
    /// How old a signature may be, in seconds.
    pub age_max_s: u64,
    /// How far in the future it may seem to have been made, because clocks differ, in seconds.
    pub ahead_max_s: u64,
    /// How many nonces of one partner are remembered, each for as long as a signature counts. Every replica counts for
    /// itself; calls beyond that are refused.
    pub nonces_max: usize,
    /// Partners whose signatures are looked at, by partner id. Of others they are not.
    pub partners: BTreeMap<String, SignerConfig>,
}

/// One partner that signs its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SignerConfig {
    /// Whether requests without a signature are refused. Signatures that are there have to hold in any case.
    pub required: bool,
    /// The file with its public keys, as the JSON of a JWK set.
    pub jwks_file: PathBuf,
}

impl Default for SignatureConfig {
    fn default() -> Self {
        SignatureConfig {
            age_max_s: 60,
            ahead_max_s: 5,
            nonces_max: 200_000,
            partners: BTreeMap::new(),
        }
    }
}

/// Why the keys of a partner cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("signatures of partner {partner:?}: {problem}")]
pub struct SignatureError {
    partner: String,
    problem: String,
}

/// How one partner signs its requests.
#[derive(Clone, Debug, Default)]
pub struct RequestKeys {
    /// Whether requests without a signature are refused.
    pub required: bool,
    /// Its keys, each with its own name; all of them are good.
    pub keys: Vec<PublicKey>,
}

/// Where the keys of partners are found.
pub trait KeySource: Send + Sync + 'static {
    /// How a partner signs its requests; none when its signatures are not looked at.
    fn request_keys(&self, partner_id: &PartnerId) -> Option<Arc<RequestKeys>>;
}

/// Keys in files that the configuration names; read again on demand, for rotated keys.
pub struct ConfiguredKeys {
    found: ArcSwap<HashMap<PartnerId, Arc<RequestKeys>>>,
}

impl ConfiguredKeys {
    /// Reads the files.
    pub fn load(config: &SignatureConfig) -> Result<Self, SignatureError> {
        Ok(ConfiguredKeys {
            found: ArcSwap::from_pointee(read(config)?),
        })
    }

    /// Reads the files again. When anything is wrong, the old keys stay.
    pub fn reload(&self, config: &SignatureConfig) -> Result<(), SignatureError> {
        self.found.store(Arc::new(read(config)?));
        Ok(())
    }
}

impl KeySource for ConfiguredKeys {
    fn request_keys(&self, partner_id: &PartnerId) -> Option<Arc<RequestKeys>> {
        self.found.load().get(partner_id).cloned()
    }
}

fn read(config: &SignatureConfig) -> Result<HashMap<PartnerId, Arc<RequestKeys>>, SignatureError> {
    let mut found = HashMap::new();
    for (partner, signer) in &config.partners {
        let problem = |problem: String| SignatureError {
            partner: partner.clone(),
            problem,
        };
        let partner_id: PartnerId = partner
            .parse()
            .map_err(|error| problem(format!("no partner id: {error}")))?;
        let file = signer.jwks_file.display();
        let json = std::fs::read_to_string(&signer.jwks_file)
            .map_err(|error| problem(format!("jwks_file {file}: {error}")))?;
        let keys = keys_of(&json).map_err(|error| problem(format!("jwks_file {file}: {error}")))?;
        let required = signer.required;
        found.insert(partner_id, Arc::new(RequestKeys { required, keys }));
    }
    Ok(found)
}

fn keys_of(json: &str) -> Result<Vec<PublicKey>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_str(json).map_err(|_| "no JWK set".to_owned())?;
    if set.keys.is_empty() || set.keys.len() > KEYS_MAX {
        return Err(format!("must have 1 to {KEYS_MAX} keys"));
    }
    let mut keys: Vec<PublicKey> = Vec::with_capacity(set.keys.len());
    for jwk in &set.keys {
        let key = PublicKey::from_jwk_value(jwk).map_err(|error| error.to_string())?;
        match key.kid() {
            Some(kid) if keys.iter().all(|known| known.kid() != Some(kid)) => keys.push(key),
            _ => return Err("every key needs a kid of its own".into()),
        }
    }
    Ok(keys)
}

/// What [`super::layered_with`] needs to look at signatures. Cheap to clone; whoever shares it shares its nonces.
#[derive(Clone)]
pub struct RequestSignatures {
    inner: Arc<Inner>,
}

struct Inner {
    source: Arc<dyn KeySource>,
    age_max: Duration,
    ahead_max: Duration,
    nonces: Nonces,
    clock: SharedClock,
}

impl RequestSignatures {
    /// With the keys of `source`.
    pub fn new(config: &SignatureConfig, source: Arc<dyn KeySource>, clock: SharedClock) -> Self {
        let (age_max, ahead_max) = (
            Duration::from_secs(config.age_max_s),
            Duration::from_secs(config.ahead_max_s),
        );
        RequestSignatures {
            inner: Arc::new(Inner {
                source,
                age_max,
                ahead_max,
                nonces: Nonces::new(config.nonces_max, age_max + ahead_max),
                clock,
            }),
        }
    }
}

/// Nonces of late, by partner. One that was forgotten belonged to a signature that no longer counts.
struct Nonces {
    max: usize,
    kept_for: Duration,
    seen: Mutex<HashMap<PartnerId, Seen>>,
}

#[derive(Default)]
struct Seen {
    known: HashSet<[u8; 16]>,
    order: VecDeque<(Micros, [u8; 16])>,
}

/// What became of a nonce.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Fresh,
    Used,
    Full,
}

impl Nonces {
    fn new(max: usize, kept_for: Duration) -> Self {
        Nonces {
            max,
            kept_for,
            seen: Mutex::default(),
        }
    }

    /// Takes a nonce whose signature holds: others fill nothing.
    fn take(&self, partner_id: &PartnerId, nonce: &str, now: Micros) -> Taken {
        let mut print = [0; 16];
        print.copy_from_slice(&Sha256::digest(nonce.as_bytes())[..16]);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.entry(*partner_id).or_default();
        while let Some((over, old)) = seen.order.front().copied().filter(|(over, _)| *over < now) {
            debug_assert!(over < now);
            seen.order.pop_front();
            seen.known.remove(&old);
        }
        if seen.known.contains(&print) {
            return Taken::Used;
        }
        if seen.known.len() >= self.max {
            return Taken::Full;
        }
        seen.known.insert(print);
        // A second more, because signatures name whole seconds.
        let over = now.plus(self.kept_for + Duration::from_secs(1));
        seen.order.push_back((over, print));
        Taken::Fresh
    }
}

pub(super) struct CheckSignature<N> {
    next: N,
    signatures: Option<RequestSignatures>,
    max_request_bytes: usize,
    metrics: Metrics,
}

impl<N> CheckSignature<N> {
    pub(super) fn new(next: N, signatures: Option<RequestSignatures>, deps: &LayerDeps) -> Self {
        CheckSignature {
            next,
            signatures,
            max_request_bytes: deps.config.max_request_bytes,
            metrics: deps.metrics.clone(),
        }
    }
}

impl<N: Handle> Handle for CheckSignature<N> {
    async fn handle(&self, call: &mut Call, request: Request) -> Response {
        let Some(signatures) = &self.signatures else {
            return self.next.handle(call, request).await;
        };
        let Some((partner_id, keys)) = signatures.asked_of(call, request.headers()) else {
            return self.next.handle(call, request).await;
        };
        match self
            .checked(signatures, call, request, &partner_id, &keys)
            .await
        {
            Ok(request) => self.next.handle(call, request).await,
            Err(Refused::Answer(answer)) => answer,
            Err(Refused::Problem(problem)) => {
                self.metrics.refused("signature", problem.word());
                tracing::info!(
                    problem = problem.word(),
                    "a request without a valid signature"
                );
                refuse(bad_signature(problem))
            }
        }
    }
}

/// Why a request goes no further.
enum Refused {
    Problem(Problem),
    Answer(Response),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Refused::Problem(problem)
    }
}

fn bad_signature(problem: Problem) -> Refusal {
    Refusal::new(ErrorReason::BadSignature, problem.sentence()).with("problem", problem.word())
}

impl RequestSignatures {
    /// Whose signature has to be looked at, and its keys; none when the call goes on as it is.
    fn asked_of(&self, call: &Call, headers: &HeaderMap) -> Option<(PartnerId, Arc<RequestKeys>)> {
        let caller = call.caller.as_ref()?;
        let Target::Method(policy) = &call.target else {
            return None;
        };
        if caller.audience != Audience::Partner || policy.client_streaming {
            return None;
        }
        let partner_id = caller.partner_id?;
        let keys = self.inner.source.request_keys(&partner_id)?;
        let signed = headers.contains_key(SIGNATURE_INPUT) || headers.contains_key(SIGNATURE);
        (keys.required || signed).then_some((partner_id, keys))
    }
}

impl Inner {
    fn is_of_now(&self, created: i64, now: Micros) -> bool {
        let created = Micros::from_seconds(created);
        created <= now.plus(self.ahead_max) && now <= created.plus(self.age_max)
    }
}

impl<N> CheckSignature<N> {
    /// The request as it came, once its signature holds. What costs little is looked at first, and nothing is read of a
    /// message whose headers are wrong.
    async fn checked(
        &self,
        signatures: &RequestSignatures,
        call: &mut Call,
        request: Request,
        partner_id: &PartnerId,
        keys: &RequestKeys,
    ) -> Result<Request, Refused> {
        let inner = &signatures.inner;
        let headers = request.headers();
        let signature =
            MessageSignature::parse(only(headers, SIGNATURE_INPUT)?, only(headers, SIGNATURE)?)?;
        let digest = only(headers, CONTENT_DIGEST)?;
        let authorization = call.authorization.take();
        let authorization = authorization.as_ref().and_then(|value| value.to_str().ok());
        let now = inner.clock.now();
        if !inner.is_of_now(signature.created, now) {
            return Err(Problem::Time.into());
        }
        let named = |key: &&PublicKey| key.kid() == Some(signature.key_id);
        let key = keys.keys.iter().find(named).ok_or(Problem::Key)?;
        let about = Covered {
            path: request.uri().path(),
            content_digest: digest,
            authorization: authorization.ok_or(Problem::Missing)?,
        };
        signature.verify(key, &about)?;
        // What was signed is known now; the message has to be it.
        let (nonce, digest) = (signature.nonce.to_owned(), digest.to_owned());
        let (parts, body) = request.into_parts();
        let body = self.whole(body).await?;
        if content_digest(only_message(&body)?) != digest {
            return Err(Problem::Digest.into());
        }
        match inner.nonces.take(partner_id, &nonce, now) {
            Taken::Fresh => {}
            Taken::Used => return Err(Problem::Nonce.into()),
            Taken::Full => return Err(Refused::Answer(refuse(too_many()))),
        }
        Ok(Request::from_parts(
            parts,
            Body::new(Full::new(body).map_err(|never| match never {})),
        ))
    }

    async fn whole(&self, body: Body) -> Result<Bytes, Refused> {
        match Limited::new(body, self.max_request_bytes).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) => {
                let status = match error.is::<LengthLimitError>() {
                    true => {
                        let limit = self.max_request_bytes;
                        let message = format!("must not be larger than {limit} bytes.");
                        Refusal::invalid("request", message).into()
                    }
                    false => Status::from_error(error),
                };
                Err(Refused::Answer(status.into_http()))
            }
        }
    }
}

fn too_many() -> Refusal {
    Refusal::new(
        ErrorReason::RateLimited,
        "This partner has signed more requests of late than are remembered; send it again later, signed anew.",
    )
    .retry_after(Duration::from_secs(1))
}

/// The one value of a header.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Problem> {
    let mut sent = headers.get_all(name).iter();
    let value = sent.next().ok_or(Problem::Missing)?;
    if sent.next().is_some() {
        return Err(Problem::Malformed);
    }
    value.to_str().map_err(|_| Problem::Malformed)
}

/// The token of a request that is signed: the signature covers it, and every later layer does without.
pub(super) fn authorization_of(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.contains_key(SIGNATURE_INPUT).then(|| {
        let mut value = headers.get(header::AUTHORIZATION)?.clone();
        value.set_sensitive(true);
        Some(value)
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_once_until_their_signatures_count_no_more() {
        let nonces = Nonces::new(2, Duration::from_secs(65));
        let (one, other) = (PartnerId::from_uuid(1), PartnerId::from_uuid(2));
        let now = Micros::from_seconds(1_000);
        assert_eq!(nonces.take(&one, "a", now), Taken::Fresh);
        assert_eq!(nonces.take(&one, "a", now), Taken::Used);
        assert_eq!(nonces.take(&other, "a", now), Taken::Fresh);
        assert_eq!(
            nonces.take(&one, "b", now.plus(Duration::from_secs(66))),
            Taken::Fresh
        );
        assert_eq!(
            nonces.take(&one, "a", now.plus(Duration::from_secs(66))),
            Taken::Used
        );
        // Nothing that still counts is forgotten for something new.
        assert_eq!(
            nonces.take(&one, "c", now.plus(Duration::from_secs(66))),
            Taken::Full
        );
        assert_eq!(
            nonces.take(&one, "c", now.plus(Duration::from_secs(67))),
            Taken::Fresh
        );
    }
}
