//! Honest callers: a few connections, a steady rate, every call timed from when it was due.

use std::time::Duration;

use anyhow::bail;
use contracts::catalog::v1::ListPartnersRequest;
use contracts::catalog::v1::partner_service_client::PartnerServiceClient;
use tokio::time::Instant;
use tonic::Request;
use tonic::transport::Channel;

use crate::server::Server;

const CONNECTIONS: usize = 2;
const EVERY: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_secs(10);

pub struct Honest {
    channels: Vec<Channel>,
    token: String,
}

/// How a while of calls went.
pub struct Figures {
    pub calls: usize,
    pub failed: usize,
    pub p50: Duration,
    pub p99: Duration,
}

/// Whether the server answers as healthy; asked by hand because the health client is not ours.
pub async fn is_healthy(channel: Channel) -> bool {
    let mut client = PartnerServiceClient::new(channel);
    let answer = client.list_partners(ListPartnersRequest::default()).await;
    // Without a token it says so: it is up.
    matches!(answer, Err(status) if status.code() == tonic::Code::Unauthenticated)
}

async fn call(channel: Channel, token: &str) -> bool {
    let mut request = Request::new(ListPartnersRequest::default());
    request.set_timeout(DEADLINE);
    let Ok(bearer) = format!("Bearer {token}").parse() else {
        return false;
    };
    request.metadata_mut().insert("authorization", bearer);
    PartnerServiceClient::new(channel)
        .list_partners(request)
        .await
        .is_ok()
}

impl Honest {
    pub async fn connect(server: &Server) -> anyhow::Result<Honest> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(server.connect().await?);
        }
        let honest = Honest {
            channels,
            token: server.token()?,
        };
        let ready = testkit::eventually_async(Duration::from_secs(30), || {
            call(honest.channels[0].clone(), &honest.token)
        })
        .await;
        if !ready {
            bail!("the server does not answer");
        }
        Ok(honest)
    }

    /// Calls at a steady rate for so long.
    pub async fn calls(&self, time: Duration) -> anyhow::Result<Figures> {
        let start = Instant::now();
        let count = usize::try_from(time.as_millis() / EVERY.as_millis())?;
        let mut calls = Vec::new();
        for number in 0..count {
            let due = start + EVERY * u32::try_from(number)?;
            tokio::time::sleep_until(due).await;
            let (channel, token) = (
                self.channels[number % CONNECTIONS].clone(),
                self.token.clone(),
            );
            calls.push(kit::spawn("call", async move {
                let done = call(channel, &token).await;
                (done, due.elapsed())
            }));
        }
        let mut times = Vec::new();
        let mut failed = 0;
        for call in calls {
            let (done, took) = call.await?;
            failed += usize::from(!done);
            times.push(took);
        }
        times.sort();
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        Ok(Figures {
            calls: times.len(),
            failed,
            p50: at(50),
            p99: at(99),
        })
    }

    /// How long somebody new takes to connect and be answered; none when that fails.
    pub async fn newcomer(&self, server: &Server) -> Option<Duration> {
        let start = Instant::now();
        for _ in 0..3 {
            if let Ok(channel) = server.connect().await
                && call(channel, &self.token).await
            {
                return Some(start.elapsed());
            }
        }
        None
    }

    /// How long until a second of calls is served within the bound.
    pub async fn until_within(
        &self,
        bound: Duration,
        most: Duration,
    ) -> anyhow::Result<Option<Duration>> {
        let start = Instant::now();
        while start.elapsed() < most {
            let since = start.elapsed();
            let second = self.calls(Duration::from_secs(1)).await?;
            if second.failed == 0 && second.p99 <= bound {
                return Ok(Some(since));
            }
        }
        Ok(None)
    }
}
