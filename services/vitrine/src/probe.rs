//! `vitrine probe`: gRPC health over the plaintext admin port, as a kubelet asks it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::config::VitrineConfig;

/// Asks, until it is ready or the time is over.
pub async fn run(
    config: &VitrineConfig,
    address: Option<String>,
    service: Option<String>,
    wait_s: u64,
) -> anyhow::Result<ExitCode> {
    let address = address.unwrap_or_else(|| config.admin.address.to_string());
    let uri = if address.contains("://") {
        address.clone()
    } else {
        format!("http://{address}")
    };
    let endpoint = Endpoint::from_shared(uri)
        .with_context(|| format!("{address} is not an address: write it like 127.0.0.1:7701"))?
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(5));
    let service = service.unwrap_or_default();
    let ask = || async {
        let answer = async {
            let channel = endpoint.connect().await.map_err(|_| {
                format!("nothing answers at {address}: is the suite running, and is this its admin port?")
            })?;
            HealthClient::new(channel)
                .check(HealthCheckRequest {
                    service: service.clone(),
                })
                .await
                .map_err(|status| match status.code() {
                    tonic::Code::NotFound => format!("no service is called {service:?} there"),
                    _ => format!("{address} did not answer: {}", status.message()),
                })
        };
        match answer.await {
            Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
            Ok(_) => Err("not ready".to_owned()),
            Err(why) => Err(why),
        }
    };
    let tries = wait_s.saturating_mul(10).saturating_add(1);
    for left in (0..tries).rev() {
        match ask().await {
            Ok(()) => {
                println!("ready");
                return Ok(ExitCode::SUCCESS);
            }
            Err(why) if left == 0 => {
                eprintln!("error: {why}");
                return Ok(ExitCode::FAILURE);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    Ok(ExitCode::FAILURE)
}
