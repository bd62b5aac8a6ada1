//! WatchRoom on the wire: frames whose parts were encoded once are written as they are.
//!
//! The generated server encodes a whole message for each watcher. This one route has its own codec instead; every other
//! method of the service goes to the generated server.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use contracts::room::v1::WatchRoomRequest;
use contracts::room::v1::audience_service_server::{AudienceServiceServer, SERVICE_NAME};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use kit::layers;
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::{Request, Response, Status};

use super::Api;
use crate::events::frames::Frame;
use crate::live::Watcher;

const WATCH_ROOM: &str = "/vitrine.room.v1.AudienceService/WatchRoom";

/// The frames of a watcher, until the room or the watcher ends.
pub fn frames(watcher: Watcher) -> BoxStream<'static, Result<Frame, Status>> {
    let next = |mut watcher: Watcher| async move {
        let frame = watcher.next().await?;
        Some((frame.map_err(Status::from), watcher))
    };
    futures::stream::unfold(watcher, next).boxed()
}

/// The routes of AudienceService.
#[derive(Clone)]
pub struct AudienceRoutes {
    api: Arc<Api>,
    others: AudienceServiceServer<Api>,
}

impl AudienceRoutes {
    /// Routes to these methods.
    pub fn new(api: Api) -> Self {
        let api = Arc::new(api);
        AudienceRoutes {
            others: AudienceServiceServer::from_arc(api.clone()),
            api,
        }
    }
}

impl NamedService for AudienceRoutes {
    const NAME: &'static str = SERVICE_NAME;
}

impl tonic::codegen::Service<layers::Request> for AudienceRoutes {
    type Response = layers::Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<layers::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: layers::Request) -> Self::Future {
        if request.uri().path() != WATCH_ROOM {
            return self.others.call(request);
        }
        let watch = Watch(self.api.clone());
        async move { Ok(Grpc::new(FrameCodec).server_streaming(watch, request).await) }.boxed()
    }
}

struct Watch(Arc<Api>);

impl ServerStreamingService<WatchRoomRequest> for Watch {
    type Response = Frame;
    type ResponseStream = BoxStream<'static, Result<Frame, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<WatchRoomRequest>) -> Self::Future {
        let api = self.0.clone();
        async move { Ok(Response::new(frames(api.watcher(request).await?))) }.boxed()
    }
}

/// Reads requests and writes frames.
struct FrameCodec;

impl Codec for FrameCodec {
    type Encode = Frame;
    type Decode = WatchRoomRequest;
    type Encoder = FrameCodec;
    type Decoder = FrameCodec;

    fn encoder(&mut self) -> FrameCodec {
        FrameCodec
    }

    fn decoder(&mut self) -> FrameCodec {
        FrameCodec
    }
}

impl Encoder for FrameCodec {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, frame: Frame, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        frame.encode(into);
        Ok(())
    }
}

impl Decoder for FrameCodec {
    type Item = WatchRoomRequest;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<WatchRoomRequest>, Status> {
        let request = WatchRoomRequest::decode(from);
        request
            .map(Some)
            .map_err(|_| contracts::codec::no_message())
    }
}
