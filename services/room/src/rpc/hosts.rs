//! HostService.

use contracts::id::HostId;
use contracts::room::v1::host_service_server::HostService;
use contracts::room::v1::*;
use kit::validate::Violations;
use tonic::Request;

use super::{Answer, Api, Keys, after, etag, given, open, render, request_id};
use crate::ops::hosts::{DecideHost, RegisterHost};
use crate::ops::read::{ReadHost, ReadHosts};

const NAME_MAX: usize = 120;
const REASON_MAX: usize = 500;

#[tonic::async_trait]
impl HostService for Api {
    async fn register_host(
        &self,
        request: Request<RegisterHostRequest>,
    ) -> Answer<RegisterHostResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let host = v.required("host", &asked.host);
        let name = host.map(|host| {
            v.nested("host")
                .text("display_name", &host.display_name, 1..=NAME_MAX)
        });
        let creator_id =
            host.and_then(|host| v.nested("host").opt_id("creator_id", &host.creator_id));
        v.finish()?;
        let operation = RegisterHost {
            display_name: given(name)?,
            creator_id,
        };
        let keys = Keys {
            method: "vitrine.room.v1.HostService/RegisterHost",
            request_id,
            request: &asked,
        };
        let render = |host: &_| RegisterHostResponse {
            host: Some(render::host(host)),
        };
        Ok(self.mutate(&caller, keys, operation, render).await?.into())
    }

    async fn decide_host(&self, request: Request<DecideHostRequest>) -> Answer<DecideHostResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let host_id = v.id::<HostId>("host_id", &asked.host_id);
        let decision = v.enumeration::<HostState>("decision", asked.decision);
        let least = match decision {
            HostState::Pending => {
                v.add(
                    "decision",
                    "must be HOST_STATE_APPROVED or HOST_STATE_REJECTED.",
                );
                0
            }
            HostState::Rejected => 1,
            HostState::Approved | HostState::Unspecified => 0,
        };
        let reason = v.text("reason", &asked.reason, least..=REASON_MAX);
        let etag = etag(&mut v, &asked.etag);
        v.finish()?;
        let approve = decision == HostState::Approved;
        let operation = DecideHost {
            host_id: given(host_id)?,
            approve,
            reason,
            etag,
        };
        let keys = Keys {
            method: "vitrine.room.v1.HostService/DecideHost",
            request_id,
            request: &asked,
        };
        let render = |host: &_| DecideHostResponse {
            host: Some(render::host(host)),
        };
        Ok(self.mutate(&caller, keys, operation, render).await?.into())
    }

    async fn get_host(&self, request: Request<GetHostRequest>) -> Answer<GetHostResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let host_id = v.id::<HostId>("host_id", &asked.host_id);
        v.finish()?;
        let host = self
            .read(
                &caller,
                ReadHost {
                    host_id: given(host_id)?,
                },
            )
            .await?;
        Ok(GetHostResponse {
            host: Some(render::host(&host)),
        }
        .into())
    }

    async fn list_hosts(&self, request: Request<ListHostsRequest>) -> Answer<ListHostsResponse> {
        let (caller, asked) = open(request)?;
        let page = self.page(&caller, asked.page_size, &asked.page_token, &["ListHosts"])?;
        let read = ReadHosts {
            after: after(&page)?,
            limit: page.limit(),
        };
        let hosts = self.read(&caller, read).await?;
        let (hosts, next_page_token) = page.cut(hosts, |host| vec![host.id.to_string()]);
        Ok(ListHostsResponse {
            hosts: hosts.iter().map(render::host).collect(),
            next_page_token,
        }
        .into())
    }
}
