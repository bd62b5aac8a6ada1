//! `vitrine partner`: brings partners in, shows how they are let in, and keeps them out.

mod connect;
mod files;
mod hand;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use contracts::catalog::v1::{ClientCertificate, PartnerAccess};
use kit::clock::{Clock, SystemClock};
use prost_types::FieldMask;

use crate::config::VitrineConfig;
use connect::Connect;
use files::{certificate_of, public_key_of};
use hand::Hand;

/// What `vitrine partner` takes.
#[derive(Debug, Args)]
#[command(after_help = "A partner is named by its code or its id.\n\n\
Rotate a key without a pause:  vitrine partner add-key north new.json --retire-others 86400\n\
Somebody has a key they should not:  vitrine partner revoke tkey_… --reason \"lost laptop\"\n\
Keep a partner out at once:  vitrine partner suspend north --reason \"…\"\n\n\
Without --connect the suite that runs on the data folder is used, or started for as long as the command takes.")]
pub struct PartnerArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connect: Connect,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Register a partner, with all that lets it in; prints what the partner needs to know.
    Add {
        /// Short code: 2 to 32 of a-z, 0-9 and -.
        code: String,
        /// Its name for people [default: the code].
        #[arg(long)]
        name: Option<String>,
        /// Who settles with the retailer [default: the name].
        #[arg(long, value_name = "TEXT")]
        legal_entity: Option<String>,
        #[command(flatten)]
        terms: Terms,
        /// Public key of its tokens: a JWK, a JWK set with one key, or PEM; may be repeated.
        #[arg(long = "key", value_name = "FILE", requires = "issuer")]
        keys: Vec<PathBuf>,
        /// Public key of its payment statements; may be repeated.
        #[arg(long = "payment-key", value_name = "FILE")]
        payment_keys: Vec<PathBuf>,
        /// Client certificate of its connections, PEM; may be repeated.
        #[arg(long = "certificate", value_name = "FILE")]
        certificates: Vec<PathBuf>,
    },
    /// All partners.
    List,
    /// One partner: state, issuer, scopes, quotas, keys, certificates, and what it needs to know.
    Show {
        /// Code or id.
        partner: String,
    },
    /// Change issuer, scopes or quotas; what is not named stays.
    Set {
        /// Code or id.
        partner: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// Refuse a partner at once; only reports of payments and refunds stay open to it.
    Suspend {
        /// Code or id.
        partner: String,
        /// Why, for the audit and for the partner.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// End a suspension.
    Resume {
        /// Code or id.
        partner: String,
    },
    /// Add a public key, beside those that there are.
    AddKey {
        /// Code or id.
        partner: String,
        /// The key: a JWK, a JWK set with one key, or PEM.
        file: PathBuf,
        /// Its name in the header of what it signs [default: the JWK's own, or its thumbprint].
        #[arg(long)]
        kid: Option<String>,
        /// A key of payment statements rather than of tokens.
        #[arg(long, conflicts_with = "retire_others")]
        payment: bool,
        /// Accept the other token keys for so long only, in seconds: longer than the last token they signed lives.
        #[arg(long, value_name = "SECONDS")]
        retire_others: Option<u64>,
    },
    /// Pin a client certificate, beside those that there are.
    AddCertificate {
        /// Code or id.
        partner: String,
        /// The certificate, PEM; only its fingerprint and SPIFFE id are sent.
        #[arg(required_unless_present = "spiffe_id")]
        file: Option<PathBuf>,
        /// Pin by SPIFFE id: any certificate of this name that the handshake lets in.
        #[arg(long, value_name = "URI", conflicts_with = "file")]
        spiffe_id: Option<String>,
        /// Accept it for so many days only.
        #[arg(long, value_name = "DAYS")]
        days: Option<u64>,
    },
    /// Refuse a key or certificate at once, for good.
    Revoke {
        /// Its id, as `show` prints it: tkey_…, pkey_… or cert_….
        id: String,
        /// Why, for the audit.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// How a partner is let in.
#[derive(Debug, Default, Args)]
struct Terms {
    /// The `iss` of the tokens that it signs itself.
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// A scope that its tokens may use; may be repeated, "all" for all.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Calls a second; 0 for the server's default.
    #[arg(long, value_name = "N")]
    calls_per_second: Option<i32>,
    /// Calls under way at a time; 0 for the server's default.
    #[arg(long, value_name = "N")]
    concurrent_calls: Option<i32>,
    /// Orders placed a second; 0 for no limit beside that on calls.
    #[arg(long, value_name = "N")]
    placements_per_second: Option<i32>,
}

impl Terms {
    /// The access that they make of another, and what changes.
    fn change(&self, before: &PartnerAccess) -> Option<(PartnerAccess, FieldMask)> {
        let mut access = before.clone();
        let mut mask = FieldMask::default();
        let mut changes = |field: &str| mask.paths.push(field.to_owned());
        if let Some(issuer) = &self.issuer {
            access.issuer_name.clone_from(issuer);
            changes("issuer_name");
        }
        if !self.scopes.is_empty() {
            let is_all = self.scopes.iter().any(|scope| scope == "all");
            access.allowed_scopes = if is_all {
                Vec::new()
            } else {
                self.scopes.clone()
            };
            changes("allowed_scopes");
        }
        let mut quotas = access.quotas.unwrap_or_default();
        let numbers = [
            (self.calls_per_second, &mut quotas.calls_per_second),
            (self.concurrent_calls, &mut quotas.concurrent_calls),
            (
                self.placements_per_second,
                &mut quotas.placements_per_second,
            ),
        ];
        let mut any = false;
        for (asked, number) in numbers {
            if let Some(asked) = asked {
                (*number, any) = (asked, true);
            }
        }
        if any {
            access.quotas = Some(quotas);
            changes("quotas");
        }
        (!mask.paths.is_empty()).then_some((access, mask))
    }
}

/// Does what was asked.
pub async fn run(config: VitrineConfig, args: PartnerArgs) -> anyhow::Result<ExitCode> {
    // Before anything is started: files that cannot be read are the commonest mistake.
    let prepared = Prepared::of(&args.action)?;
    let connected = args.connect.open(config).await?;
    let hand = Hand {
        caller: connected.caller.clone(),
        ids: connected.ids.clone(),
        json: args.json,
        about: connected.about(),
    };
    let done = hand.carry_out(&args.action, prepared).await;
    connected.close().await;
    println!("{}", done?);
    Ok(ExitCode::SUCCESS)
}

/// What was read from files.
#[derive(Default)]
struct Prepared {
    keys: Vec<(String, String)>,
    payment_keys: Vec<(String, String)>,
    certificates: Vec<ClientCertificate>,
}

impl Prepared {
    fn of(action: &Action) -> anyhow::Result<Prepared> {
        let key = |file: &PathBuf| public_key_of(file, None);
        let mut prepared = Prepared::default();
        match action {
            Action::Add {
                keys,
                payment_keys,
                certificates,
                ..
            } => {
                prepared.keys = keys.iter().map(key).collect::<Result<_, _>>()?;
                prepared.payment_keys = payment_keys.iter().map(key).collect::<Result<_, _>>()?;
                let read = certificates.iter().map(|file| certificate_of(file));
                prepared.certificates = read.collect::<Result<_, _>>()?;
            }
            Action::AddKey { file, kid, .. } => {
                prepared.keys = vec![public_key_of(file, kid.as_deref())?];
            }
            Action::AddCertificate {
                file,
                spiffe_id,
                days,
                ..
            } => {
                let mut certificate = match file {
                    Some(file) => certificate_of(file)?,
                    None => ClientCertificate {
                        spiffe_id: spiffe_id.clone().unwrap_or_default(),
                        ..ClientCertificate::default()
                    },
                };
                certificate.expire_time = days.map(|days| in_seconds(days.saturating_mul(86_400)));
                prepared.certificates = vec![certificate];
            }
            _ => {}
        }
        Ok(prepared)
    }
}

fn in_seconds(seconds: u64) -> prost_types::Timestamp {
    SystemClock
        .now()
        .plus(Duration::from_secs(seconds))
        .to_proto()
}

#[cfg(test)]
mod tests;
