//! Reads and checks the policy of every method.

use std::sync::Arc;
use std::time::Duration;

use prost_reflect::{DescriptorPool, Kind, MessageDescriptor, MethodDescriptor};

use super::{
    Access, Audience, Criticality, Effect, MethodPolicy, MethodProblem, PolicyError, RetailerRole,
    is_ours, method_option, pb,
};

pub(super) fn read(pool: &DescriptorPool) -> (Vec<Arc<MethodPolicy>>, Vec<PolicyError>) {
    let mut policies = Vec::new();
    let mut errors = Vec::new();
    for service in pool.services() {
        if !is_ours(service.package_name()) {
            continue;
        }
        for method in service.methods() {
            match read_method(pool, &method) {
                Ok(policy) => policies.push(Arc::new(policy)),
                Err(found) => errors.extend(found),
            }
        }
    }
    (policies, errors)
}

fn read_method(
    pool: &DescriptorPool,
    method: &MethodDescriptor,
) -> Result<MethodPolicy, Vec<PolicyError>> {
    let service = method.parent_service().full_name().to_owned();
    let path = format!("/{service}/{}", method.name());
    let option = match method_option(pool, method) {
        Ok(Some(option)) => option,
        Ok(None) => return Err(vec![PolicyError::MissingPolicy { method: path }]),
        Err(error) => return Err(vec![error]),
    };

    let mut problems = Vec::new();
    let access = read_access(&option, &mut problems);
    let effect = known(Effect::try_from(option.effect), Effect::Unspecified);
    let idempotency_key = read_key(&option, effect, &method.input(), &mut problems);
    let criticality = known(
        Criticality::try_from(option.criticality),
        Criticality::Unspecified,
    );
    if criticality == Criticality::Unspecified {
        problems.push(MethodProblem::NoCriticality);
    }
    let policy = MethodPolicy {
        path,
        service,
        name: method.name().to_owned(),
        request: method.input().full_name().to_owned(),
        response: method.output().full_name().to_owned(),
        access,
        effect,
        idempotency_key,
        default_deadline: match option.default_deadline_ms {
            0 => None,
            ms => Some(Duration::from_millis(ms.into())),
        },
        criticality,
        client_streaming: method.is_client_streaming(),
        server_streaming: method.is_server_streaming(),
    };
    if policy.is_unary() && policy.default_deadline.is_none() {
        problems.push(MethodProblem::NoDeadline);
    }
    if problems.is_empty() {
        return Ok(policy);
    }
    let incomplete = |problem| PolicyError::IncompletePolicy {
        method: policy.path.clone(),
        problem,
    };
    Err(problems.into_iter().map(incomplete).collect())
}

/// A value of a later contract than this code knows is as good as none.
fn known<E>(value: Result<E, prost::UnknownEnumValue>, unspecified: E) -> E {
    value.unwrap_or(unspecified)
}

fn read_access(option: &pb::MethodPolicy, problems: &mut Vec<MethodProblem>) -> Vec<Access> {
    if option.access.is_empty() {
        problems.push(MethodProblem::NoAccess);
    }
    option
        .access
        .iter()
        .map(|access| {
            let read = Access {
                audience: known(Audience::try_from(access.audience), Audience::Unspecified),
                scopes: access.scopes.clone(),
                roles: access
                    .roles
                    .iter()
                    .map(|&role| known(RetailerRole::try_from(role), RetailerRole::Unspecified))
                    .collect(),
            };
            check_access(&read, problems);
            read
        })
        .collect()
}

fn check_access(access: &Access, problems: &mut Vec<MethodProblem>) {
    if access.audience == Audience::Unspecified {
        problems.push(MethodProblem::NoAudience);
        return;
    }
    if access.scopes.is_empty() || access.scopes.iter().any(|scope| scope.trim().is_empty()) {
        problems.push(MethodProblem::NoScope(access.audience));
    }
    if access.audience == Audience::Retailer {
        if access.roles.is_empty() || access.roles.contains(&RetailerRole::Unspecified) {
            problems.push(MethodProblem::NoRole);
        }
    } else if !access.roles.is_empty() {
        problems.push(MethodProblem::RolesWithoutRetailer(access.audience));
    }
}

fn read_key(
    option: &pb::MethodPolicy,
    effect: Effect,
    request: &MessageDescriptor,
    problems: &mut Vec<MethodProblem>,
) -> Vec<String> {
    let key: Vec<String> = match option.idempotency_key.as_str() {
        "" => Vec::new(),
        names => names
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect(),
    };
    match effect {
        Effect::Unspecified => problems.push(MethodProblem::NoEffect),
        Effect::Mutation if key.is_empty() => problems.push(MethodProblem::NoKey),
        Effect::Read if !key.is_empty() => problems.push(MethodProblem::KeyOnRead),
        Effect::Mutation | Effect::Read => {}
    }
    for path in &key {
        if !is_plain_field(request, path) {
            problems.push(MethodProblem::KeyField(path.clone()));
        }
    }
    key
}

/// Whether a dotted path leads through single messages to a single field that is none.
fn is_plain_field(message: &MessageDescriptor, path: &str) -> bool {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let Some(field) = message.get_field_by_name(name) else {
        return false;
    };
    if field.is_list() || field.is_map() {
        return false;
    }
    match (field.kind(), rest) {
        (Kind::Message(inner), Some(rest)) => is_plain_field(&inner, rest),
        (Kind::Message(_), None) | (_, Some(_)) => false,
        (_, None) => true,
    }
}
