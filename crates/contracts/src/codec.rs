//! Protobuf on gRPC, as tonic has it, with buffers of the size that our messages have.
//!
//! tonic begins each message of each call with 8 KiB, while most requests and answers have a few hundred bytes and
//! hundreds of calls wait for one commit. Buffers grow where a message is larger.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec as TonicCodec, DecodeBuf, Decoder as TonicDecoder};
use tonic::{Code, Status};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};
use tonic_types::{ErrorDetails, StatusExt};

/// What a buffer has at first, in bytes.
const FIRST: usize = 1_024;

/// From so many bytes on, messages of a stream are handed to the connection; tonic's own figure.
const YIELD: usize = 32 * 1_024;

/// The codec of all generated clients and servers.
#[derive(Debug, Clone, Copy)]
pub struct Codec<T, U>(PhantomData<fn() -> (T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Codec(PhantomData)
    }
}

impl<T, U> TonicCodec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Decoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(FIRST, YIELD))
    }

    fn decoder(&mut self) -> Self::Decoder {
        let settings = BufferSettings::new(FIRST, YIELD);
        Decoder(ProstCodec::<T, U>::raw_decoder(settings))
    }
}

/// Reads messages. Bytes that are no request are the caller's mistake, not a fault of ours; bytes that are no answer
/// are a fault of whoever answered.
#[derive(Debug)]
pub struct Decoder<U>(ProstDecoder<U>);

impl<U: Message + Default> TonicDecoder for Decoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        self.0
            .decode(from)
            .map_err(|status| match is_request::<U>() {
                true => no_message(),
                false => status,
            })
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// Every request's type is named so, and no answer's: the contracts' linter holds them to it.
fn is_request<U>() -> bool {
    std::any::type_name::<U>().ends_with("Request")
}

/// What whoever sent bytes is told that are no message of the method that was called.
#[must_use]
pub fn no_message() -> Status {
    let details = ErrorDetails::with_error_info("INVALID_FIELD", "vitrine", []);
    Status::with_error_details(
        Code::InvalidArgument,
        "The bytes that were sent are no request of this method; encode it with the contracts of this release.",
        details,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::v1::{GetOrderRequest, GetOrderResponse};

    #[test]
    fn only_requests_are_the_callers_own_mistake() {
        assert!(is_request::<GetOrderRequest>());
        assert!(!is_request::<GetOrderResponse>());
        let status = no_message();
        assert_eq!(status.code(), Code::InvalidArgument);
        let info = status.get_error_details().error_info().cloned();
        assert_eq!(info.map(|info| info.reason), Some("INVALID_FIELD".into()));
    }
}
