//! Hosts, and what every mutation promises about keys and etags.

use contracts::ErrorReason;
use contracts::room::v1::*;
use testkit::{TestDb, on_both_engines};

use crate::common::{Server, call, fields, key, reason, setup};

fn named(name: &str) -> Option<Host> {
    Some(Host {
        display_name: name.into(),
        ..Host::default()
    })
}

on_both_engines! {
    setup: setup();

    async fn are_registered_decided_on_and_listed(t: TestDb) {
        let server = Server::start(&t).await;
        let ops = server.ops();
        let request = RegisterHostRequest { request_id: key(), host: named("Ana") };
        let host = call!(ops.hosts.register_host(request)).expect("a host").host.expect("the host");
        assert_eq!((host.state(), host.display_name.as_str()), (HostState::Pending, "Ana"));
        let request = |decision: HostState, etag: &str| DecideHostRequest {
            request_id: key(),
            host_id: host.host_id.clone(),
            decision: decision.into(),
            reason: "papers seen".into(),
            etag: etag.into(),
        };
        let decided = call!(ops.hosts.decide_host(request(HostState::Approved, &host.etag))).expect("approved");
        let decided = decided.host.expect("the host");
        assert_eq!((decided.state(), decided.decision_reason.as_str()), (HostState::Approved, "papers seen"));
        assert_ne!(decided.etag, host.etag);
        let stale = call!(ops.hosts.decide_host(request(HostState::Rejected, &host.etag)));
        assert_eq!(reason(stale), ErrorReason::EtagMismatch);
        let back = call!(ops.hosts.decide_host(request(HostState::Rejected, &decided.etag))).expect("taken back");
        let got = call!(ops.hosts.get_host(GetHostRequest { host_id: host.host_id.clone() })).expect("the host");
        assert_eq!((got.host.as_ref().map(Host::state), &got.host), (Some(HostState::Rejected), &back.host));
        for _ in 0..4 {
            server.host(false).await;
        }
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let page = call!(ops.hosts.list_hosts(ListHostsRequest { page_size: 2, page_token })).expect("a page");
            assert!(page.hosts.len() <= 2);
            found.extend(page.hosts.into_iter().map(|host| host.host_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!((found.len(), found.is_sorted(), &found[0]), (5, true, &host.host_id));
        let unknown = call!(ops.hosts.get_host(GetHostRequest { host_id: contracts::id::HostId::from_uuid(9).into() }));
        assert_eq!(reason(unknown), ErrorReason::NotFound);
        server.stop().await;
    }

    async fn a_key_has_one_effect(t: TestDb) {
        let server = Server::start(&t).await;
        let ops = server.ops();
        let request = RegisterHostRequest { request_id: key(), host: named("Ana") };
        let first = call!(ops.hosts.register_host(request.clone())).expect("a host");
        assert_eq!(call!(ops.hosts.register_host(request.clone())).expect("the same"), first);
        let other = RegisterHostRequest { host: named("Ben"), ..request };
        assert_eq!(reason(call!(ops.hosts.register_host(other))), ErrorReason::KeyReused);
        let all = call!(ops.hosts.list_hosts(ListHostsRequest::default())).expect("a page");
        assert_eq!(all.hosts.len(), 1);
        server.stop().await;
    }

    async fn what_is_wrong_is_named(t: TestDb) {
        let server = Server::start(&t).await;
        let ops = server.ops();
        let empty = call!(ops.hosts.register_host(RegisterHostRequest::default()));
        assert_eq!(fields(empty), ["request_id", "host"]);
        for name in ["", "a\nb", &"x".repeat(121)] {
            let request = RegisterHostRequest { request_id: key(), host: named(name) };
            assert_eq!(fields(call!(ops.hosts.register_host(request))), ["host.display_name"], "{name:?}");
        }
        let creator = Host { creator_id: "creator_1".into(), ..named("Ana").unwrap_or_default() };
        let request = RegisterHostRequest { request_id: key(), host: Some(creator) };
        assert_eq!(fields(call!(ops.hosts.register_host(request))), ["host.creator_id"]);
        let creator_id = contracts::id::CreatorId::from_uuid(9).into();
        let creator = Host { creator_id, ..named("Ana").unwrap_or_default() };
        let request = RegisterHostRequest { request_id: key(), host: Some(creator) };
        assert_eq!(reason(call!(ops.hosts.register_host(request))), ErrorReason::NotFound);
        let host_id = server.host(false).await;
        for decision in [HostState::Unspecified as i32, HostState::Pending as i32, 77] {
            let request = DecideHostRequest { request_id: key(), host_id: host_id.clone(), decision, ..Default::default() };
            assert_eq!(fields(call!(ops.hosts.decide_host(request))), ["decision"], "{decision}");
        }
        let request = DecideHostRequest {
            request_id: key(),
            host_id: "room_1".into(),
            decision: HostState::Rejected.into(),
            ..Default::default()
        };
        assert_eq!(fields(call!(ops.hosts.decide_host(request))), ["host_id", "reason"]);
        server.stop().await;
    }
}
