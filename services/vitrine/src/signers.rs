//! Partners that sign their requests: the keys that they do it with.
//!
//! A key set in a file where the configuration names one, else the keys that the catalogue knows of the partner for its
//! tokens. Both are changed without a restart.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use contracts::id::PartnerId;
use kit::clock::SharedClock;
use kit::layers::{ConfiguredKeys, KeySource, RequestKeys, RequestSignatures, SignatureConfig};
use kit::lifecycle::Lifecycle;
use kit::partners::PartnerDirectory;

/// How often the files are read again.
const REFRESH: Duration = Duration::from_secs(30);

struct Keys {
    config: SignatureConfig,
    files: ConfiguredKeys,
    directory: PartnerDirectory,
    clock: SharedClock,
}

impl Keys {
    fn registered(&self, partner_id: &PartnerId) -> RequestKeys {
        let required = (self.config.partners)
            .get(partner_id.as_str())
            .is_some_and(|signer| signer.required);
        let Some(known) = self.directory.of(partner_id) else {
            // Not heard of yet: whoever has to sign is not let in without.
            let keys = Vec::new();
            return RequestKeys { required, keys };
        };
        let now = self.clock.now();
        let of_now = known
            .access
            .keys
            .iter()
            .filter(|key| key.until.is_none_or(|until| now < until));
        RequestKeys {
            required,
            keys: of_now.map(|key| key.key.clone()).collect(),
        }
    }
}

impl KeySource for Keys {
    fn request_keys(&self, partner_id: &PartnerId) -> Option<Arc<RequestKeys>> {
        let signer = self.config.partners.get(partner_id.as_str())?;
        match signer.jwks_file.as_os_str().is_empty() {
            true => Some(Arc::new(self.registered(partner_id))),
            false => self.files.request_keys(partner_id),
        }
    }
}

/// How the server looks at signatures of requests; not at all where no partner signs any.
pub fn signatures(
    config: &SignatureConfig,
    directory: PartnerDirectory,
    clock: SharedClock,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Option<RequestSignatures>> {
    if config.partners.is_empty() {
        return Ok(None);
    }
    for partner in config.partners.keys() {
        partner.parse::<PartnerId>().with_context(|| {
            format!("server.layers.signatures.partners: {partner:?} is no partner id")
        })?;
    }
    let mut in_files = config.clone();
    (in_files.partners).retain(|_, signer| !signer.jwks_file.as_os_str().is_empty());
    let files = ConfiguredKeys::load(&in_files).context("server.layers.signatures")?;
    let keys = Arc::new(Keys {
        config: config.clone(),
        files,
        directory,
        clock: clock.clone(),
    });
    let (fresh, over) = (keys.clone(), lifecycle.token());
    lifecycle.spawn("request-keys", async move {
        let mut turns = tokio::time::interval(REFRESH);
        while over.run_until_cancelled(turns.tick()).await.is_some() {
            if let Err(error) = fresh.files.reload(&in_files) {
                tracing::warn!(%error, "keys of signed requests were not read again; the old ones stay");
            }
        }
    });
    Ok(Some(RequestSignatures::new(config, keys, clock)))
}

#[cfg(test)]
mod tests {
    use kit::auth::SigningKey;
    use kit::clock::ManualClock;
    use kit::layers::SignerConfig;

    use super::*;

    fn config(partners: &[(PartnerId, SignerConfig)]) -> SignatureConfig {
        SignatureConfig {
            partners: partners
                .iter()
                .map(|(id, signer)| (id.to_string(), signer.clone()))
                .collect(),
            ..SignatureConfig::default()
        }
    }

    fn keys(config: SignatureConfig) -> anyhow::Result<Keys> {
        let mut in_files = config.clone();
        (in_files.partners).retain(|_, signer| !signer.jwks_file.as_os_str().is_empty());
        Ok(Keys {
            config,
            files: ConfiguredKeys::load(&in_files)?,
            directory: PartnerDirectory::new(),
            clock: Arc::new(ManualClock::default()),
        })
    }

    #[test]
    fn keys_come_from_the_file_or_from_the_catalogue() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys.json");
        let key = SigningKey::from_seed(&[7; 32]);
        let set = serde_json::json!({ "keys": [key.public_jwk()] });
        std::fs::write(&file, set.to_string()).expect("written");
        let [one, two, three] = [1, 2, 3].map(PartnerId::from_uuid);
        let in_file = SignerConfig {
            required: false,
            jwks_file: file,
        };
        let in_catalogue = SignerConfig {
            required: true,
            ..SignerConfig::default()
        };
        let keys = keys(config(&[(one, in_file), (two, in_catalogue)])).expect("readable");
        let found = keys.request_keys(&one).expect("configured");
        assert_eq!(
            (found.required, found.keys[0].kid()),
            (false, Some(key.kid()))
        );
        // Nobody has told of its keys yet, so nothing passes.
        let found = keys.request_keys(&two).expect("configured");
        assert_eq!((found.required, found.keys.len()), (true, 0));
        assert!(keys.request_keys(&three).is_none());
    }

    #[test]
    fn a_file_that_is_none_is_told_of_at_start() {
        let missing = SignerConfig {
            required: true,
            jwks_file: "/nowhere/keys.json".into(),
        };
        let error = keys(config(&[(PartnerId::from_uuid(1), missing)]))
            .err()
            .expect("refused");
        assert!(
            format!("{error:#}").contains("/nowhere/keys.json"),
            "{error:#}"
        );
    }
}
