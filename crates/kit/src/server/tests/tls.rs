use std::fs;
use std::path::Path;

use tonic::transport::{Certificate as Trusted, ClientTlsConfig};

use super::super::tls::Certificate;
use super::*;

const ONE: (&str, &str) = (
    include_str!("../testdata/one.pem"),
    include_str!("../testdata/one.key"),
);
const TWO: (&str, &str) = (
    include_str!("../testdata/two.pem"),
    include_str!("../testdata/two.key"),
);

fn write(folder: &Path, (cert, key): (&str, &str)) -> TlsConfig {
    let (cert_file, key_file) = (folder.join("tls.crt"), folder.join("tls.key"));
    fs::write(&cert_file, cert).expect("written");
    fs::write(&key_file, key).expect("written");
    TlsConfig {
        cert_file: Some(cert_file),
        key_file: Some(key_file),
        reload_interval_s: 1,
        ..TlsConfig::default()
    }
}

async fn check(address: SocketAddr, trusted: &str) -> Result<(), String> {
    let tls = ClientTlsConfig::new()
        .ca_certificate(Trusted::from_pem(trusted))
        .domain_name("vitrine.test");
    let endpoint = Endpoint::from_shared(format!("https://{address}"))
        .and_then(|endpoint| endpoint.tls_config(tls))
        .expect("an endpoint");
    let channel = endpoint
        .connect()
        .await
        .map_err(|error| crate::errors::chain(&error))?;
    let answer = HealthClient::new(channel).check(ask()).await;
    answer.map(|_| ()).map_err(|status| status.to_string())
}

#[tokio::test]
async fn tls_serves_who_trusts_it_and_nobody_in_plaintext() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = ServerConfig {
        tls: write(folder.path(), ONE),
        ..config()
    };
    let lifecycle = Lifecycle::new();
    let address = start(&config, &lifecycle).await;
    check(address, ONE.0).await.expect("trusted");
    assert!(
        check(address, TWO.0).await.is_err(),
        "another certificate is trusted"
    );
    let plain = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let answer = HealthClient::new(plain.connect_lazy()).check(ask()).await;
    assert!(answer.is_err(), "plaintext was served");
}

#[tokio::test]
async fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::load(&write(folder.path(), ONE))
        .expect("good")
        .expect("TLS");
    let shown = || certificate.fingerprint();
    let first = shown();
    write(folder.path(), (TWO.0, "half a key"));
    certificate.reload();
    assert_eq!(shown(), first);
    write(folder.path(), (TWO.0, ONE.1));
    certificate.reload();
    assert_eq!(shown(), first, "a key that does not fit");
    write(folder.path(), TWO);
    certificate.reload();
    assert_ne!(shown(), first);
}

#[tokio::test]
async fn half_a_configuration_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = write(folder.path(), ONE);
    let refused = |tls: TlsConfig| Certificate::load(&tls).err().map(|error| error.to_string());
    let half = refused(TlsConfig {
        key_file: None,
        ..whole.clone()
    });
    assert!(half.is_some_and(|text| text.contains("together")));
    let missing = refused(TlsConfig {
        cert_file: Some(folder.path().join("nothing.pem")),
        ..whole.clone()
    });
    assert!(missing.is_some_and(|text| text.contains("nothing.pem")));
    let swapped = refused(TlsConfig {
        cert_file: whole.key_file.clone(),
        ..whole
    });
    assert!(swapped.is_some_and(|text| text.contains("no certificate")));
}
