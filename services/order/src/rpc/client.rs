//! Calls to other services.

use kit::errors::Fault;
use tonic::{Response, Status};

/// What another service answered, or what its refusal means here.
pub fn answer<T>(answer: Result<Response<T>, Status>) -> Result<T, Fault> {
    Ok(answer
        .map_err(|status| Fault::from_status(&status))?
        .into_inner())
}
