//! The server under test: this program again, as a process of its own.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use contracts::common::v1::RetailerRole;
use kit::auth::Claims;
use kit::clock::{SharedClock, SystemClock};
use kit::ids::{SharedIds, SystemIds};
use serde_json::Value;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use vitrine::config::VitrineConfig;

use crate::raid::Raid;

const CERTIFICATE: &str = include_str!("../../crates/kit/src/server/testdata/one.pem");
const KEY: &str = include_str!("../../crates/kit/src/server/testdata/one.key");

/// What the operating system lets the server have.
#[derive(Clone, Copy)]
pub enum Ulimit {
    AsIs,
    Files(u32),
}

pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    pub address: SocketAddr,
    pub is_tls: bool,
}

impl Server {
    pub async fn start(limit: Ulimit, is_tls: bool) -> anyhow::Result<Server> {
        let folder = tempfile::tempdir()?;
        let address = free_address()?;
        let admin = free_address()?;
        let files = match limit {
            Ulimit::AsIs => String::new(),
            Ulimit::Files(files) => format!("ulimit -n {files}; "),
        };
        let log = std::fs::File::create(folder.path().join("server.log"))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{files}exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe()?)
            .args([
                "serve",
                "--listen",
                &address.to_string(),
                "--admin",
                &admin.to_string(),
            ])
            .arg("--data-dir")
            .arg(folder.path());
        if is_tls {
            let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
            std::fs::write(&cert, CERTIFICATE)?;
            std::fs::write(&key, KEY)?;
            command
                .arg("--set")
                .arg(format!("server.tls.cert_file={}", cert.display()));
            command
                .arg("--set")
                .arg(format!("server.tls.key_file={}", key.display()));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let server = Server {
            child,
            folder,
            address,
            is_tls,
        };
        let up = testkit::eventually_async(Duration::from_secs(60), || async {
            match server.connect().await {
                Ok(channel) => crate::honest::is_healthy(channel).await,
                Err(_) => false,
            }
        })
        .await;
        if !up {
            bail!("the server did not start: {}", server.log());
        }
        Ok(server)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    pub async fn connect(&self) -> anyhow::Result<Channel> {
        let scheme = if self.is_tls { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.address))?
            .connect_timeout(Duration::from_secs(10));
        if self.is_tls {
            let tls = ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(CERTIFICATE))
                .domain_name("vitrine.test");
            endpoint = endpoint.tls_config(tls)?;
        }
        Ok(endpoint.connect().await?)
    }

    /// A token of the retailer with every scope.
    pub fn token(&self) -> anyhow::Result<String> {
        self.token_of("ops")
    }

    /// One of somebody else: who attacks has a rate and a share of its own.
    fn token_of(&self, subject: &str) -> anyhow::Result<String> {
        let config = VitrineConfig {
            data_dir: self.folder.path().to_owned(),
            ..VitrineConfig::default()
        };
        let clock: SharedClock = Arc::new(SystemClock);
        let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
        let signer = vitrine::keys::development_signer(&config, clock, ids)?;
        let claims =
            Claims::retailer(subject, &[RetailerRole::Ops]).scopes(["catalog.read", "order.read"]);
        Ok(signer.mint(claims, Duration::from_secs(3_600)))
    }

    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    }

    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// Starts an attacker.
    pub fn attacked_by(&self, raid: Raid, time: Duration) -> anyhow::Result<Attacker> {
        let child = Command::new("nice")
            .args(["-n", "19"])
            .arg(std::env::current_exe()?)
            .args([
                "raid",
                raid.name(),
                &self.address.to_string(),
                &time.as_secs().to_string(),
            ])
            .env("RAID_TOKEN", self.token_of("mallory")?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("nice is part of every system")?;
        Ok(Attacker(child))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Attacker(Child);

impl Attacker {
    /// What it did.
    pub async fn ended(self) -> anyhow::Result<Value> {
        let output = tokio::task::spawn_blocking(move || self.0.wait_with_output()).await??;
        if !output.status.success() {
            bail!("the attacker ended with {}", output.status);
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
