//! `vitrine serve --sandbox`: a retailer to try things with. It has one partner, agreed listings with stock, a room on
//! air, and a house that works by itself: the host explains, the warehouse ships, the carrier delivers.
//! What the partner's engineer needs is written into one folder: see [`folder`].

/// A call of somebody of the house, tried again as the rules say.
macro_rules! ask {
    ($what:expr, $caller:ident.$client:ident().$method:ident($request:ident)) => {
        $crate::demo::client::retrying(|| {
            let (request, mut client) = ($request.clone(), $caller.$client());
            async move { client.$method(request).await }
        })
        .await
        .map_err(|status| $crate::demo::client::told(concat!("could not get ", $what), &status))
    };
}

/// The same for what another service has to hear of first, by a feed.
macro_rules! known {
    ($what:expr, $caller:ident.$client:ident().$method:ident($request:ident)) => {
        $crate::demo::world::until_known($what, || {
            let (request, mut client) = ($request.clone(), $caller.$client());
            async move { client.$method(request).await }
        })
        .await
    };
}

mod care;
mod folder;
mod house;
mod shop;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use kit::auth::{SigningKey, TokenSigner};
use kit::clock::{SharedClock, SystemClock};
use kit::ids::{SharedIds, SystemIds};
use tokio_util::sync::CancellationToken;

use crate::config::VitrineConfig;
use crate::demo::client::{Addresses, Connections};
use crate::demo::tokens::Tokens;
use crate::keys;
use crate::suite::Suite;
use crate::token::{Role, partner_claims};

use folder::Folder;
pub use folder::Partner;
use house::House;

/// Where and with what a sandbox is made.
pub struct Options {
    /// Where the suite answers, such as `http://127.0.0.1:7700`.
    pub address: String,
    /// The address that the partner is told; the same unless something stands between.
    pub endpoint: String,
    /// The folder that is written for the partner.
    pub folder: PathBuf,
    /// Mints the house's tokens and the partner's.
    pub signer: TokenSigner,
    /// What the partner signs payment statements with.
    pub payment_key: SigningKey,
    /// Keeps apart what several sandboxes make in one suite.
    pub ids: SharedIds,
}

/// A sandbox that is ready for its partner.
pub struct Sandbox {
    /// What stands in `partner.json`.
    pub partner: Partner,
    folder: Folder,
    signer: TokenSigner,
    house: House,
}

impl Sandbox {
    /// Opens the sandbox whose folder this is, or makes a new one.
    pub async fn open(options: Options) -> anyhow::Result<Sandbox> {
        let folder = Folder::new(options.folder)?;
        let tokens = Tokens {
            signer: options.signer.clone(),
            connections: Connections::open(&Addresses::one(&options.address), 1).await?,
        };
        let staff = [Role::Ops, Role::Host, Role::Warehouse, Role::Carrier];
        let house = tokens.retailer("sandbox", &staff)?;
        let kid = options.payment_key.kid();
        let known = match folder.partner()? {
            Some(partner)
                if partner.payment_key_id == kid
                    && shop::knows(&house, &partner.partner_id).await? =>
            {
                Some(partner)
            }
            _ => None,
        };
        let mut partner = match known {
            Some(partner) => partner,
            None => {
                let run = format!("{:08x}", options.ids.random_u64() >> 32);
                shop::make(&house, &tokens, &options.payment_key, &run).await?
            }
        };
        partner.endpoint = options.endpoint;
        partner.room_id = shop::room_on_air(&house, &partner, &options.ids).await?;
        let sandbox = Sandbox {
            house: House::new(
                partner.partner_id.clone(),
                partner.room_id.clone(),
                tokens,
                options.ids,
            ),
            partner,
            folder,
            signer: options.signer,
        };
        sandbox.write_token()?;
        sandbox
            .folder
            .write(&sandbox.partner, &options.payment_key)?;
        Ok(sandbox)
    }

    /// Where `partner.json` is.
    pub fn file(&self) -> PathBuf {
        self.folder.partner_file()
    }

    /// Works until the token is cancelled. What fails is told in the log and tried again.
    pub async fn work(self, over: CancellationToken) {
        let mut renewals = tokio::time::interval(folder::TOKEN_RENEWAL);
        let house = self.house.work(over.clone());
        let renewing = async {
            loop {
                renewals.tick().await;
                if let Err(error) = self.write_token() {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the partner's token was not renewed"
                    );
                }
            }
        };
        tokio::select! {
            () = house => {}
            () = renewing => {}
        }
    }

    fn write_token(&self) -> anyhow::Result<()> {
        let partner_id = self.partner.partner_id.parse()?;
        let token = self
            .signer
            .mint(partner_claims(&partner_id), folder::TOKEN_LIFE);
        self.folder.write_token(&token)
    }
}

/// Opens a sandbox in a suite that has just started, lets it work for as long as the suite runs, and says what to do next.
pub async fn start(config: &VitrineConfig, suite: &Suite) -> anyhow::Result<()> {
    if !config.development_tokens {
        bail!(
            "a sandbox works with development tokens, and development_tokens is false: leave out --sandbox"
        );
    }
    let clock: SharedClock = Arc::new(SystemClock);
    let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
    let address = format!("http://{}", reachable(suite.address));
    let options = Options {
        address: address.clone(),
        endpoint: address,
        folder: config.data_dir.join("partner"),
        signer: keys::development_signer(config, clock, ids.clone())?,
        payment_key: keys::payment(config)?,
        ids,
    };
    let sandbox = Sandbox::open(options)
        .await
        .context("the sandbox could not be opened")?;
    announce(config, &sandbox);
    let over = suite.lifecycle.draining();
    suite.lifecycle.spawn("sandbox", sandbox.work(over));
    Ok(())
}

/// An address to call: a listener on every interface is reached over the loopback.
fn reachable(mut listener: SocketAddr) -> SocketAddr {
    if listener.ip().is_unspecified() {
        listener.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    listener
}

fn announce(config: &VitrineConfig, sandbox: &Sandbox) {
    let file = std::path::absolute(sandbox.file()).unwrap_or_else(|_| sandbox.file());
    let data = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    println!("\nsandbox      {}", file.display());
    println!(
        "  a partner with agreed listings, stock and a room on air; orders with contact data ship by themselves"
    );
    println!("  its token is renewed in that folder while this runs; another one:");
    println!(
        "    {} token partner {} --data-dir {}",
        crate::serve::program(),
        sandbox.partner.partner_id,
        crate::serve::quoted(&data)
    );
}
