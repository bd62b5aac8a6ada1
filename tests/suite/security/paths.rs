//! A method has one path. Nothing that looks like it, or that some proxy would turn into it, reaches a handler.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::policy::Policies;
use kit::auth::Claims;

use super::credentials::ROLES;
use super::wire::{self, END_HEADERS, END_STREAM, HEADERS, Raw};
use crate::topology::Running;

const PATIENCE: Duration = Duration::from_secs(5);

/// What might be taken for the method. A fragment is not among them: HTTP/2 has none in a path, and the library cuts it
/// off before anybody sees it.
fn variants(path: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bare = &path[1..];
    let (service, method) = bare.split_once('/').expect("a service and a method");
    let mut variants: Vec<(&'static str, String)> = vec![
        ("no slash", bare.into()),
        ("empty", String::new()),
        ("a double slash before", format!("/{path}")),
        ("a double slash inside", format!("/{service}//{method}")),
        ("a slash after", format!("{path}/")),
        ("an encoded slash", format!("/{service}%2F{method}")),
        ("an encoded slash, small", format!("/{service}%2f{method}")),
        ("twice encoded", format!("/{service}%252F{method}")),
        (
            "an encoded letter",
            format!("/{service}/%{:02X}{}", method.as_bytes()[0], &method[1..]),
        ),
        ("upper case", path.to_uppercase()),
        ("lower case", path.to_lowercase()),
        (
            "a method in lower case",
            format!("/{service}/{}", method.to_lowercase()),
        ),
        ("a query", format!("{path}?a=b")),
        ("an empty query", format!("{path}?")),
        ("a parameter", format!("{path};v=1")),
        ("absolute", format!("http://vitrine{path}")),
        ("another authority", format!("//vitrine{path}")),
        ("a dot before", format!("/.{path}")),
        ("a step back", format!("/x/..{path}")),
        ("a step back inside", format!("/{service}/x/../{method}")),
        ("an encoded step back", format!("/x/%2e%2e{path}")),
        ("a dot inside", format!("/{service}/./{method}")),
        ("a backslash", format!("/{service}\\{method}")),
        ("a space after", format!("{path} ")),
        ("a space before", format!(" {path}")),
        ("a prefix", format!("/api{path}")),
        ("a suffix", format!("{path}2")),
        (
            "no package",
            format!("/{}/{method}", service.rsplit('.').next().expect("a name")),
        ),
        ("a star", "*".into()),
        ("the service alone", format!("/{service}")),
        ("the service and a slash", format!("/{service}/")),
        ("a plus", format!("/{service}/{method}+")),
        ("letters that look alike", path.replacen('e', "\u{435}", 1)),
        ("very long", format!("{path}{}", "/".repeat(12_000))),
    ];
    let mut bytes: Vec<(&'static str, Vec<u8>)> = variants
        .drain(..)
        .map(|(what, text)| (what, text.into_bytes()))
        .collect();
    for (what, byte) in [
        ("a NUL", 0),
        ("a line feed", 10),
        ("a tab", 9),
        ("no UTF-8", 0xff),
        ("a delete", 127),
    ] {
        bytes.push((what, [path.as_bytes(), &[byte]].concat()));
    }
    bytes
}

/// Sends these headers and an empty message, and waits for whatever ends the call. A connection that is closed is
/// opened again.
async fn send(raw: &mut Raw, stream: &mut u32, running: &Running, block: &[u8]) {
    *stream += 2;
    let mut call = wire::frame(HEADERS, END_HEADERS, *stream, block);
    call.extend(wire::frame(wire::DATA, END_STREAM, *stream, &[0; 5]));
    let sent = raw.send(&call).await.is_ok();
    let ended = if sent {
        raw.ended(*stream, PATIENCE).await
    } else {
        None
    };
    if ended.is_none_or(|frame| frame.kind == wire::GOAWAY) {
        *raw = Raw::greeted(running.socket(), None, &[])
            .await
            .expect("a connection");
        *stream = 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_like_a_method_reaches_no_handler() {
    let running = Running::embedded().await;
    let policies = Policies::load().expect("whole contracts");
    let token = running.token(Claims::retailer("ops", &ROLES));
    let mut services = BTreeMap::new();
    for method in policies.methods() {
        let for_retailer = method.access.iter().any(|a| !a.roles.is_empty());
        if for_retailer && method.is_unary() {
            services
                .entry(method.service.clone())
                .or_insert_with(|| method.path.clone());
        }
    }
    assert!(services.len() > 15, "only {services:?}");
    let mut raw = Raw::greeted(running.socket(), None, &[])
        .await
        .expect("a connection");
    let mut stream = 1;
    let before = running.let_in().0;
    for path in services.values() {
        for (what, variant) in variants(path) {
            send(
                &mut raw,
                &mut stream,
                &running,
                &wire::call(&variant, &token),
            )
            .await;
            assert_eq!(
                running.let_in().0,
                before,
                "{path} with {what} reached a handler"
            );
        }
        for (method, kind) in [
            ("GET", "application/grpc"),
            ("PUT", "application/grpc"),
            ("OPTIONS", "application/grpc"),
            ("CONNECT", "application/grpc"),
            ("post", "application/grpc"),
            ("POST", "application/json"),
            ("POST", "text/plain"),
            ("POST", ""),
        ] {
            let block = wire::request(method.as_bytes(), path.as_bytes(), kind.as_bytes(), &token);
            send(&mut raw, &mut stream, &running, &block).await;
            assert_eq!(
                running.let_in().0,
                before,
                "{method} {path} with {kind:?} reached a handler"
            );
        }
        // Two paths: the first is the method's own.
        let mut twice = wire::call(path.as_bytes(), &token);
        let mut second = wire::block(&[(":path", path.as_bytes())]);
        second.append(&mut twice);
        send(&mut raw, &mut stream, &running, &second).await;
        assert_eq!(
            running.let_in().0,
            before,
            "{path} with two paths reached a handler"
        );
    }
    // The path itself does, so the counter would have told.
    for (made, path) in services.values().enumerate() {
        send(
            &mut raw,
            &mut stream,
            &running,
            &wire::call(path.as_bytes(), &token),
        )
        .await;
        let made = u64::try_from(made).expect("few");
        assert_eq!(running.let_in().0, before + made + 1, "{path}");
    }
    running.stop().await;
}
