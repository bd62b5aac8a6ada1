//! Asks for a key set over the network: one question, one answer of bounded size in bounded time, no redirects.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::errors::BoxError;

/// Where systems keep the authorities that they trust.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// More addresses of one name are not tried.
const MAX_ADDRESSES: usize = 4;
const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 16_384;

/// The address of a key set: https anywhere, http only on this machine.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct JwksUrl {
    uri: Uri,
    host: String,
    port: u16,
    secure: bool,
}

impl JwksUrl {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("jwks_url {text:?} {why}");
        let uri: Uri = text.parse().map_err(|_| wrong("is no address"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("must begin with https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("must not hold a password"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let here = host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        if !secure && !here {
            return Err(wrong(
                "must be https, or whoever is between could slip us keys",
            ));
        }
        let port = authority
            .port_u16()
            .unwrap_or(if secure { 443 } else { 80 });
        Ok(JwksUrl {
            host,
            port,
            secure,
            uri,
        })
    }
}

impl fmt::Debug for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.uri)
    }
}

/// How long an answer may take and how large it may be, and whom to trust.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) time: Duration,
    pub(super) max_bytes: usize,
    pub(super) ca_file: Option<PathBuf>,
}

/// The text behind the address.
pub(super) async fn get(url: &JwksUrl, limits: &Limits) -> Result<String, BoxError> {
    match timeout(limits.time, ask(url, limits)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {:?}", limits.time).into()),
    }
}

async fn ask(url: &JwksUrl, limits: &Limits) -> Result<String, BoxError> {
    let stream = connect(url).await?;
    if !url.secure {
        return talk(stream, url, limits).await;
    }
    let name = ServerName::try_from(url.host.clone())?;
    let connector = TlsConnector::from(Arc::new(trust(limits).await?));
    talk(connector.connect(name, stream).await?, url, limits).await
}

async fn connect(url: &JwksUrl) -> Result<TcpStream, BoxError> {
    let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await?;
    // A name server that says otherwise does not lead plain text off this machine.
    let usable = |address: &SocketAddr| url.secure || address.ip().is_loopback();
    let mut failure: BoxError = "the name has no address".into();
    for address in found.filter(usable).take(MAX_ADDRESSES) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

/// Read each time, so that renewed authorities are trusted without a restart.
async fn trust(limits: &Limits) -> Result<ClientConfig, BoxError> {
    let path = limits
        .ca_file
        .clone()
        .unwrap_or_else(|| SYSTEM_AUTHORITIES.into());
    let pem = tokio::fs::read(&path)
        .await
        .map_err(|error| format!("authorities {}: {error}", path.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

async fn talk<S>(stream: S, url: &JwksUrl, limits: &Limits) -> Result<String, BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    // Ends with the sender and the answer's body, whichever way this function ends.
    drop(crate::spawn("jwks", async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection for keys ended");
        }
    }));
    let path = url.uri.path_and_query().map_or("/", |path| path.as_str());
    let host = url
        .uri
        .authority()
        .map_or("", |authority| authority.as_str());
    let request = Request::get(path)
        .header(header::HOST, HeaderValue::from_str(host)?)
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    // A redirect too: keys come from where the configuration says, or not at all.
    if answer.status() != StatusCode::OK {
        return Err(format!("the answer is {}", answer.status()).into());
    }
    let body = Limited::new(answer.into_body(), limits.max_bytes);
    let bytes = body.collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec())?)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn limits() -> Limits {
        Limits {
            time: Duration::from_millis(500),
            max_bytes: 1_000,
            ca_file: None,
        }
    }

    /// Answers every connection with this text and then nothing.
    async fn answering(text: String) -> JwksUrl {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(crate::spawn("answering", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 1_024];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(text.as_bytes()).await;
                if text.is_empty() {
                    // Kept open and silent.
                    std::mem::forget(stream);
                }
            }
        }));
        JwksUrl::parse(&format!("http://127.0.0.1:{port}/keys")).expect("an address")
    }

    #[tokio::test]
    async fn an_answer_is_bounded_in_size_and_time_and_must_be_one() {
        let good = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".into()).await;
        assert_eq!(get(&good, &limits()).await.expect("good"), "{}");
        let large = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1_001));
        let long_head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n{{}}", "x".repeat(20_000));
        for bad in [
            large,
            long_head,
            String::new(),
            "nonsense\r\n\r\n".into(),
            "HTTP/1.1 404 Not Found\r\n\r\n".into(),
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 2\r\n\r\n{}"
                .into(),
        ] {
            let url = answering(bad.clone()).await;
            assert!(
                get(&url, &limits()).await.is_err(),
                "{}",
                &bad[..bad.len().min(40)]
            );
        }
    }

    #[test]
    fn only_https_leaves_this_machine() {
        for good in [
            "https://id.acme.example/.well-known/jwks.json",
            "https://10.0.0.1:8443/keys?v=1",
            "http://localhost:8080/keys",
            "http://127.0.0.1/keys",
            "http://[::1]:9/keys",
        ] {
            assert!(JwksUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/keys",
            "id.acme.example/keys",
            "http://id.acme.example/keys",
            "http://127.0.0.1.acme.example/keys",
            "ftp://id.acme.example/keys",
            "file:///etc/passwd",
            "https://user:secret@id.acme.example/keys",
        ] {
            assert!(JwksUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
