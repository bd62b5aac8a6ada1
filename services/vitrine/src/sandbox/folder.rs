//! What a partner's engineer gets: where to call, who they are, a token and a payment key, in one folder.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use kit::auth::SigningKey;
use serde::{Deserialize, Serialize};

/// How long the partner's token is good.
pub const TOKEN_LIFE: Duration = Duration::from_secs(3_600);
/// How often a new one is written, so that a program that reads the file never finds an old one.
pub const TOKEN_RENEWAL: Duration = Duration::from_secs(1_200);

const TOKEN: &str = "token";
const PAYMENT_KEY: &str = "payment-key.pem";

/// `partner.json`. Its files lie beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partner {
    /// Where the suite answers: `http://…`, or `https://…` with TLS.
    pub endpoint: String,
    /// Who the partner is.
    pub partner_id: String,
    /// Its one outlet.
    pub outlet_id: String,
    /// A room on air at that outlet.
    pub room_id: String,
    /// The file with the bearer token; read it anew for every call, it is renewed.
    pub token_file: String,
    /// The file with the private key for payment statements: Ed25519, PKCS#8, PEM.
    pub payment_key_file: String,
    /// The name under which its public half is registered: the `kid` of statements.
    pub payment_key_id: String,
}

impl Partner {
    /// With everything that is always the same filled in.
    pub fn new(partner_id: String, outlet_id: String, key: &SigningKey) -> Partner {
        Partner {
            endpoint: String::new(),
            partner_id,
            outlet_id,
            room_id: String::new(),
            token_file: TOKEN.into(),
            payment_key_file: PAYMENT_KEY.into(),
            payment_key_id: key.kid().into(),
        }
    }
}

/// The folder.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path, made where it does not exist.
    pub fn new(path: PathBuf) -> anyhow::Result<Folder> {
        fs::create_dir_all(&path)
            .with_context(|| format!("the folder {} could not be made", path.display()))?;
        Ok(Folder(path))
    }

    /// Where `partner.json` is.
    pub fn partner_file(&self) -> PathBuf {
        self.0.join("partner.json")
    }

    /// What was written before.
    pub fn partner(&self) -> anyhow::Result<Option<Partner>> {
        let path = self.partner_file();
        if !path.exists() {
            return Ok(None);
        }
        let read = || anyhow::Ok(serde_json::from_slice(&fs::read(&path)?)?);
        read().map(Some).with_context(|| {
            format!(
                "{} cannot be read: remove it, and another partner is made",
                path.display()
            )
        })
    }

    /// Writes the key and then `partner.json`, which says that everything is there.
    pub fn write(&self, partner: &Partner, key: &SigningKey) -> anyhow::Result<()> {
        replace(&self.0.join(PAYMENT_KEY), &key.to_pem())?;
        let text = serde_json::to_string_pretty(partner)?;
        replace(&self.partner_file(), &format!("{text}\n"))
    }

    /// Writes the token.
    pub fn write_token(&self, token: &str) -> anyhow::Result<()> {
        replace(&self.0.join(TOKEN), &format!("{token}\n"))
    }
}

/// A file for its owner alone; who reads it meanwhile finds the old content or the new, never half of it.
fn replace(path: &Path, content: &str) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(content.as_bytes())?;
        fs::rename(&draft, path)
    };
    write().with_context(|| format!("{} could not be written", path.display()))
}
