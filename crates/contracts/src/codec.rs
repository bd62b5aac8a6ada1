//! Protobuf on gRPC, as tonic has it, with buffers of the size that our messages have.
//!
//! tonic begins each message of each call with 8 KiB, while most requests and answers have a few hundred bytes and
//! hundreds of calls wait for one commit. Buffers grow where a message is larger.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec as TonicCodec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

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
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(FIRST, YIELD))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(FIRST, YIELD))
    }
}
