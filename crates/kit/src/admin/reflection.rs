//! Reflection, so that tools can call without having the protos.

use tonic::service::RoutesBuilder;
use tonic_reflection::server::{Builder, v1, v1alpha};

/// A descriptor set that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("reflection cannot be served: {0}")]
pub struct ReflectionError(String);

impl From<tonic_reflection::server::Error> for ReflectionError {
    fn from(error: tonic_reflection::server::Error) -> Self {
        ReflectionError(error.to_string())
    }
}

fn builder(descriptor_sets: &[&'static [u8]]) -> Builder<'static> {
    // Error details travel as `Any`: a tool can only show them when it can look their types up.
    let known = [
        tonic_types::pb::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
    ];
    let sets = descriptor_sets.iter().copied().chain(known);
    sets.fold(Builder::configure(), |builder, set| {
        builder.register_encoded_file_descriptor_set(set)
    })
}

/// Reflection as `grpc.reflection.v1` for these encoded descriptor sets, health and `google.rpc` error
/// details. Custom options survive, because the sets are served byte for byte.
pub fn reflection_v1(
    descriptor_sets: &[&'static [u8]],
) -> Result<v1::ServerReflectionServer<impl v1::ServerReflection + use<>>, ReflectionError> {
    Ok(builder(descriptor_sets).build_v1()?)
}

/// The same as `grpc.reflection.v1alpha`, which older tools ask for.
pub fn reflection_v1alpha(
    descriptor_sets: &[&'static [u8]],
) -> Result<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection + use<>>, ReflectionError>
{
    Ok(builder(descriptor_sets).build_v1alpha()?)
}

/// Adds both versions to a server's routes.
pub fn add_reflection(
    routes: &mut RoutesBuilder,
    descriptor_sets: &[&'static [u8]],
) -> Result<(), ReflectionError> {
    routes
        .add_service(reflection_v1(descriptor_sets)?)
        .add_service(reflection_v1alpha(descriptor_sets)?);
    Ok(())
}
