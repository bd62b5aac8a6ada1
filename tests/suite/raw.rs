//! Calls by path with bytes, so that a test can walk over every method there is.

use prost_reflect::bytes::{Buf, BufMut};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

#[derive(Clone, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Bytes;
    type Decoder = Bytes;

    fn encoder(&mut self) -> Bytes {
        Bytes
    }

    fn decoder(&mut self) -> Bytes {
        Bytes
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; from.remaining()];
        from.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

/// Calls a method; the first message of its answer, or its status. Serves streams too.
pub async fn call(
    channel: &Channel,
    path: &str,
    token: Option<&str>,
    body: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let headers: Vec<_> = token
        .map(|token| ("authorization", format!("Bearer {token}")))
        .into_iter()
        .collect();
    call_with(channel, path, &headers, body).await
}

/// The same with whatever headers.
pub async fn call_with(
    channel: &Channel,
    path: &str,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready()
        .await
        .map_err(|e| Status::unavailable(e.to_string()))?;
    let mut request = Request::new(body);
    for (name, value) in headers {
        let value = value
            .parse()
            .map_err(|_| Status::internal("a text unfit for a header"))?;
        request.metadata_mut().append(*name, value);
    }
    let path = path.parse().map_err(|_| Status::internal("not a path"))?;
    let mut stream = grpc
        .server_streaming(request, path, Bytes)
        .await?
        .into_inner();
    stream
        .message()
        .await?
        .ok_or_else(|| Status::internal("the answer was empty"))
}

/// A connection to the first of a service's addresses.
pub async fn connect(addresses: &[String]) -> Channel {
    let endpoint =
        tonic::transport::Endpoint::from_shared(addresses[0].clone()).expect("an address");
    endpoint.connect().await.expect("a server that listens")
}

/// What a status says to its caller, byte for byte, without the request id that differs by design.
pub fn said(status: &Status) -> (tonic::Code, String, Vec<u8>) {
    (
        status.code(),
        status.message().to_owned(),
        status.details().to_vec(),
    )
}
