//! The policies that every RPC and every tenant-owned or personal field carries in the contracts, read from
//! the descriptors and checked. What the server kit enforces, what logs may show and what the security tests
//! try all come from here, so that a new RPC cannot be forgotten.

mod credential;
mod fields;
mod methods;
mod redact;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use prost_reflect::DescriptorPool;

use crate::FILE_DESCRIPTOR_SET;
use crate::common::v1 as pb;

pub use crate::common::v1::{Audience, Criticality, Effect, Ownership, PersonalData, RetailerRole};
pub use redact::{redact, redact_bytes, redact_message};

/// A hole in the contracts. A server does not start while there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The bytes are no descriptor set, or one whose options cannot be read.
    #[error("the descriptor set cannot be read: {0}")]
    Unreadable(String),
    /// A method without `(vitrine.common.v1.policy)`.
    #[error("{method} has no policy; add `option (vitrine.common.v1.policy)` to it")]
    MissingPolicy {
        /// Path of the method.
        method: String,
    },
    /// A method whose policy lacks something or has something that makes no sense.
    #[error("the policy of {method} is incomplete: {problem}")]
    IncompletePolicy {
        /// Path of the method.
        method: String,
        /// What is wrong and what it should be.
        problem: MethodProblem,
    },
    /// A field that must carry a policy and does not.
    #[error("{field} has no policy although {why}; add `(vitrine.common.v1.field)` to it")]
    MissingFieldPolicy {
        /// Full name of the field.
        field: String,
        /// Why it needs one.
        why: &'static str,
    },
    /// A field whose policy lacks something.
    #[error("the policy of {field} is incomplete: {problem}")]
    IncompleteFieldPolicy {
        /// Full name of the field.
        field: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// What can be wrong with the policy of a method.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MethodProblem {
    /// Nobody may call it.
    #[error("it names no access, so nobody could call it")]
    NoAccess,
    /// An access without a known audience.
    #[error("an access names no audience")]
    NoAudience,
    /// An access that any token of its audience would pass.
    #[error("the access of {0:?} names no scope")]
    NoScope(Audience),
    /// A retailer's access without a known role.
    #[error("the access of Retailer names no role, or an unspecified one")]
    NoRole,
    /// Roles for an audience that has none.
    #[error("the access of {0:?} names roles, which only the retailer's tokens have")]
    RolesWithoutRetailer(Audience),
    /// It does not say whether it changes state.
    #[error("it names no effect")]
    NoEffect,
    /// A mutation that cannot be repeated safely.
    #[error("it is a mutation and names no idempotency key")]
    NoKey,
    /// A key for what needs none.
    #[error("it only reads and names an idempotency key")]
    KeyOnRead,
    /// The key names what the request does not have, or what cannot be a key.
    #[error("its idempotency key names `{0}`, which is not a single plain field of the request")]
    KeyField(String),
    /// A unary method without a default deadline.
    #[error("it is unary and names no default deadline")]
    NoDeadline,
    /// It does not say how it is treated under load.
    #[error("it names no criticality")]
    NoCriticality,
}

/// One audience that may call a method, and what its token must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The audience.
    pub audience: Audience,
    /// Every one of these must be among the token's scopes.
    pub scopes: Vec<String>,
    /// For the retailer: at least one of these must be among the token's roles. Empty for all others.
    pub roles: Vec<RetailerRole>,
}

/// The checked policy of one method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodPolicy {
    /// Path on the wire, such as `/vitrine.order.v1.OrderService/PlaceOrder`.
    pub path: String,
    /// Full name of the service, such as `vitrine.order.v1.OrderService`.
    pub service: String,
    /// Name of the method, such as `PlaceOrder`.
    pub name: String,
    /// Full name of the request message.
    pub request: String,
    /// Full name of the response message.
    pub response: String,
    /// Who may call it; at least one.
    pub access: Vec<Access>,
    /// What it does to state.
    pub effect: Effect,
    /// The request fields, dotted where nested, that together are the idempotency key. Empty for reads.
    pub idempotency_key: Vec<String>,
    /// The deadline when the caller names none; none for streams that live until either side ends them.
    pub default_deadline: Option<Duration>,
    /// How it is treated under load.
    pub criticality: Criticality,
    /// Whether requests are a stream.
    pub client_streaming: bool,
    /// Whether responses are a stream.
    pub server_streaming: bool,
}

impl MethodPolicy {
    /// Whether it changes state.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        self.effect == Effect::Mutation
    }

    /// Whether neither side streams.
    #[must_use]
    pub fn is_unary(&self) -> bool {
        !self.client_streaming && !self.server_streaming
    }
}

/// The checked policy of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPolicy {
    /// What the value identifies, such as `order`; none when it identifies nothing.
    pub resource: Option<String>,
    /// Who owns it; `Unspecified` when it identifies nothing.
    pub ownership: Ownership,
    /// What personal data it holds; `Unspecified` for none.
    pub personal_data: PersonalData,
}

/// The policies of all methods and fields. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Policies(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: DescriptorPool,
    methods: Vec<Arc<MethodPolicy>>,
    by_path: HashMap<String, Arc<MethodPolicy>>,
    fields: HashMap<String, FieldPolicy>,
}

impl Policies {
    /// The policies of the suite's contracts, or every hole in them.
    pub fn load() -> Result<Self, Vec<PolicyError>> {
        Self::load_from(FILE_DESCRIPTOR_SET)
    }

    /// The policies in an encoded descriptor set, or every hole in it. Files of `google.*` are left out.
    pub fn load_from(descriptor_set: &[u8]) -> Result<Self, Vec<PolicyError>> {
        let pool = DescriptorPool::decode(descriptor_set)
            .map_err(|error| vec![PolicyError::Unreadable(error.to_string())])?;
        let (methods, mut errors) = methods::read(&pool);
        let (fields, field_errors) = fields::read(&pool);
        errors.extend(field_errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let by_path = methods
            .iter()
            .map(|method| (method.path.clone(), Arc::clone(method)))
            .collect();
        Ok(Self(Arc::new(Inner {
            pool,
            methods,
            by_path,
            fields,
        })))
    }

    /// The policy of the method with this path, such as `/vitrine.order.v1.OrderService/PlaceOrder`.
    #[must_use]
    pub fn method(&self, path: &str) -> Option<&Arc<MethodPolicy>> {
        self.0.by_path.get(path)
    }

    /// All methods, by service and then as the service declares them.
    pub fn methods(&self) -> impl ExactSizeIterator<Item = &Arc<MethodPolicy>> {
        self.0.methods.iter()
    }

    /// The policy of the field with this full name, such as `vitrine.order.v1.Order.order_id`; none when it has none.
    #[must_use]
    pub fn field(&self, full_name: &str) -> Option<&FieldPolicy> {
        self.0.fields.get(full_name)
    }

    /// The descriptors that the policies were read from.
    #[must_use]
    pub fn pool(&self) -> &DescriptorPool {
        &self.0.pool
    }
}

/// The suite's own descriptors, decoded once.
pub fn descriptor_pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(FILE_DESCRIPTOR_SET)
            .expect("the descriptor set was made by this crate's own build")
    });
    &POOL
}

/// Whether a file's contents are the suite's: what comes from Google has no policies.
fn is_ours(package: &str) -> bool {
    package != "google" && !package.starts_with("google.")
}

/// Reads one of the suite's own options; none when it is absent.
fn option<M: prost::Message + Default>(
    pool: &DescriptorPool,
    options: &prost_reflect::DynamicMessage,
    name: &str,
) -> Result<Option<M>, PolicyError> {
    let Some(extension) = pool.get_extension_by_name(name) else {
        return Ok(None);
    };
    if !options.has_extension(&extension) {
        return Ok(None);
    }
    options
        .get_extension(&extension)
        .as_message()
        .ok_or_else(|| PolicyError::Unreadable(format!("{name} is not a message")))?
        .transcode_to()
        .map(Some)
        .map_err(|error| PolicyError::Unreadable(error.to_string()))
}

fn method_option(
    pool: &DescriptorPool,
    method: &prost_reflect::MethodDescriptor,
) -> Result<Option<pb::MethodPolicy>, PolicyError> {
    option(pool, &method.options(), "vitrine.common.v1.policy")
}

fn field_option(
    pool: &DescriptorPool,
    field: &prost_reflect::FieldDescriptor,
) -> Result<Option<pb::FieldPolicy>, PolicyError> {
    option(pool, &field.options(), "vitrine.common.v1.field")
}

#[cfg(test)]
mod tests;
