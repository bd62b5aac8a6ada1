//! What callers and files bring as text: signatures, keys, tokens, cursors, page tokens, ids, headers, configuration.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use contracts::common::v1::Audience;
use contracts::id::{OrderId, PartnerId, RoomId};
use kit::auth::message::MessageSignature;
use kit::auth::{AuthConfig, Claims, SigningKey, TokenSigner, TokenVerifier, jws};
use kit::clock::{ManualClock, Micros, SharedClock};
use kit::config::Env;
use kit::ids::SeededIds;
use kit::page::Page;
use room::live::cursor::{Cursor, Marks};
use store::cursor::CursorSpace;
use vitrine::audit::{Checkpoint, Keys};
use vitrine::config::{Flags, VitrineConfig};

use super::material::Material;
use super::{Target, outcome};

/// Bearer tokens, statements, keys and request signatures.
pub struct Jws {
    key: SigningKey,
    verifier: TokenVerifier,
    token: String,
    statement: String,
}

impl Jws {
    /// With a key of its own.
    pub fn new() -> Self {
        // The same token in every run: what an earlier one learnt is not to be taken for a forgery.
        let clock: SharedClock = ManualClock::shared(Micros::from_seconds(1_800_000_000));
        let ids = SeededIds::shared(1, clock.clone());
        let (key, config) = (SigningKey::from_seed(&[5; 32]), AuthConfig::default());
        let signer = TokenSigner::new(key.clone(), &config, clock.clone(), ids);
        let issuer = signer.issuer(&[Audience::Partner, Audience::Retailer, Audience::Viewer]);
        let claims = Claims::partner("fuzz", &PartnerId::from_uuid(1)).scopes(["order.write"]);
        Jws {
            token: signer.mint(claims, Duration::from_secs(3_500)),
            statement: jws::sign_ed25519(&key, br#"{"order_id":"order_1","amount":5}"#),
            verifier: TokenVerifier::new(&config, vec![issuer], clock),
            key,
        }
    }

    /// A change of a genuine text is refused, whatever it is.
    fn changed(&self, material: &mut Material<'_>) -> u64 {
        let genuine = if material.byte().is_multiple_of(2) {
            &self.token
        } else {
            &self.statement
        };
        let mut bytes = genuine.clone().into_bytes();
        while !material.is_empty() {
            let at = material.below(bytes.len() + 1);
            let byte = material.byte();
            match material.byte() % 4 {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.truncate(at.max(1)),
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let accepted = self.verifier.verify(&text).is_ok();
        assert!(
            !accepted || text == self.token,
            "a changed token is accepted: {text}"
        );
        let payload = jws::verify(&text, &self.key.public_key());
        let same = text == self.token || text == self.statement;
        assert!(
            payload.is_err() || same,
            "a changed statement is accepted: {text}"
        );
        outcome((
            "changed",
            accepted,
            payload.err().map(|why| why.to_string()),
        ))
    }
}

impl Target for Jws {
    fn run(&self, data: &[u8]) -> u64 {
        let mut material = Material::new(data);
        match material.byte() % 6 {
            0 => {
                let text = String::from_utf8_lossy(material.rest()).into_owned();
                let refused = self.verifier.verify(&text).err();
                assert!(refused.is_some() || text == self.token, "{text}");
                let payload = jws::verify(&text, &self.key.public_key());
                outcome((
                    refused.map(|why| why.to_string()),
                    payload.err().map(|why| why.to_string()),
                    jws::kid_of(&text).is_some(),
                ))
            }
            1 => {
                let text = String::from_utf8_lossy(material.rest()).into_owned();
                let key = jws::PublicKey::from_jwk_json(&text);
                outcome(
                    key.map(|key| key.algorithm())
                        .map_err(|why| why.to_string()),
                )
            }
            // Claims that nobody would sign, truly signed.
            2 => {
                let text = jws::sign(&self.key, "JWT", material.rest());
                outcome(self.verifier.verify(&text).err().map(|why| why.to_string()))
            }
            3 => {
                let at = material.below(data.len());
                let (input, signature) = (material.take(at).to_vec(), material.rest());
                let (input, signature) = (
                    String::from_utf8_lossy(&input),
                    String::from_utf8_lossy(signature),
                );
                let parsed = MessageSignature::parse(&input, &signature);
                outcome(parsed.err().map(|why| why.word()))
            }
            4 => {
                let line = String::from_utf8_lossy(material.rest()).into_owned();
                let read = Checkpoint::open(&line, &Keys::of(&self.key));
                assert!(read.is_err(), "nothing of this was signed: {line}");
                outcome(read.err())
            }
            _ => self.changed(&mut material),
        }
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let with = |way: u8, text: &[u8]| [&[way], text].concat();
        let claims = self.token.split('.').nth(1).unwrap_or_default();
        let claims =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims);
        let input = br#"sig1=("@path" "content-digest" "authorization");created=1700000000;keyid="k";nonce="n";alg="ed25519"sig1=:AAAA:"#;
        let mut signed = vec![3, 0, (input.len() - 12) as u8];
        signed.extend_from_slice(input);
        vec![
            with(0, self.token.as_bytes()),
            with(0, self.statement.as_bytes()),
            with(0, b"eyJhbGciOiJub25lIn0.e30."),
            with(1, self.key.public_jwk().to_string().as_bytes()),
            with(1, br#"{"kty":"RSA","n":"AQAB","e":"AQAB","alg":"RS256"}"#),
            with(1, br#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#),
            with(2, &claims.unwrap_or_default()),
            with(
                2,
                br#"{"iss":"vitrine","aud":["vitrine"],"sub":"x","exp":1e400}"#,
            ),
            signed,
            with(
                4,
                jws::sign(&self.key, "vitrine-audit-checkpoint", b"{}").as_bytes(),
            ),
            vec![5, 0, 0, 10, b'A', 3],
        ]
    }
}

/// Page tokens, cursors and ids.
pub struct Tokens {
    space: CursorSpace,
    room: RoomId,
}

impl Tokens {
    /// Of one feed and one room.
    pub fn new() -> Self {
        Tokens {
            space: CursorSpace::new("order", "partner_1", "epoch"),
            room: RoomId::from_uuid(7),
        }
    }
}

impl Target for Tokens {
    fn run(&self, data: &[u8]) -> u64 {
        let mut material = Material::new(data);
        let (way, size) = (
            material.byte() % 4,
            i32::from_be_bytes([material.byte(), 0, 0, material.byte()]),
        );
        let text = String::from_utf8_lossy(material.rest()).into_owned();
        match way {
            0 => match Page::parse(size, &text, 50, 200, "query") {
                Ok(page) => {
                    assert!((1..=200).contains(&page.size) && size >= 0);
                    // What was read is written again, and reads the same.
                    if let Some(after) = &page.after {
                        let again = Page::parse(size, &page.next_token(after), 50, 200, "query");
                        assert_eq!(again.expect("our own token").after.as_ref(), Some(after));
                    }
                    outcome((way, page.after.map(|after| after.len())))
                }
                Err(refusal) => outcome((way, refusal.reason as i32)),
            },
            1 => match self.space.decode(&text) {
                Ok(position) => {
                    assert!(
                        position >= 0 && (text.is_empty() || self.space.encode(position) == text),
                        "{text}"
                    );
                    outcome((way, "ok"))
                }
                Err(refusal) => outcome((way, refusal.reason as i32)),
            },
            2 => match Cursor::parse(&self.room, &text) {
                Ok(cursor) => {
                    assert_eq!(cursor.is_none(), text.is_empty());
                    outcome((way, cursor.is_some()))
                }
                Err(refusal) => outcome((way, refusal.reason as i32)),
            },
            _ => match text.parse::<OrderId>() {
                Ok(id) => {
                    assert_eq!(id.to_string(), text, "an id has one form");
                    outcome((way, "ok"))
                }
                Err(why) => outcome((way, why.to_string())),
            },
        }
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let with = |way: u8, text: &str| [&[way, 0, 5], text.as_bytes()].concat();
        let page = Page::parse(5, "", 50, 200, "query").map(|page| page.next_token(&["a", "2"]));
        let marks = Marks {
            ledger: 5,
            ..Marks::default()
        };
        vec![
            with(0, &page.unwrap_or_default()),
            with(0, ""),
            vec![0, 0xff, 0xff],
            with(1, &self.space.encode(77)),
            with(
                1,
                &CursorSpace::new("order", "partner_1", "another").encode(77),
            ),
            with(2, &Cursor::text(&self.room, "epoch", &marks)),
            with(3, OrderId::from_uuid(u128::MAX).as_ref()),
        ]
    }
}

/// Configuration from a file, from the environment and from flags.
pub struct Config {
    folder: tempfile::TempDir,
}

impl Config {
    /// With a folder for the file.
    pub fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Config {
            folder: folder.expect("a temporary folder"),
        }
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join("vitrine.toml");
        let mut file = std::fs::File::create(&path).expect("a file");
        file.write_all(bytes).expect("written");
        path
    }
}

impl Target for Config {
    fn run(&self, data: &[u8]) -> u64 {
        let mut material = Material::new(data);
        let way = material.byte() % 3;
        let text = String::from_utf8_lossy(data.get(1..).unwrap_or_default()).into_owned();
        let loaded = match way {
            0 => VitrineConfig::load(
                Some(&self.file(material.rest())),
                &Env::empty(),
                &Flags::default(),
            ),
            1 => {
                let set = text.lines().map(str::to_owned).collect();
                let flags = Flags {
                    set,
                    ..Flags::default()
                };
                VitrineConfig::load(None, &Env::empty(), &flags)
            }
            _ => {
                let pairs = text.lines().filter_map(|line| line.split_once('='));
                let vars = pairs
                    .filter(|(_, value)| !value.contains('\0'))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()));
                VitrineConfig::load(None, &vars.collect::<Env>(), &Flags::default())
            }
        };
        match loaded {
            Ok(config) => {
                // What is good can be printed, and read again.
                let text = kit::config::render(&config).expect("configuration renders");
                outcome((way, text.len()))
            }
            Err(error) => {
                let told = error.to_string();
                assert!(!told.trim().is_empty());
                outcome((
                    way,
                    told.chars()
                        .filter(char::is_ascii_alphabetic)
                        .take(40)
                        .collect::<String>(),
                ))
            }
        }
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let whole = kit::config::render(&VitrineConfig::default()).unwrap_or_default();
        // The parts of the file one by one, and the file as a whole.
        let mut seeds: Vec<Vec<u8>> = whole
            .split("\n\n")
            .map(|part| [b"\0", part.as_bytes()].concat())
            .collect();
        seeds.push([b"\0", whole.as_bytes()].concat());
        seeds.push(b"\x01order.hold_ttl_s=600\nserver.address=[::1]:0\ndatabase.order.url=postgres://u:p@h/d".to_vec());
        seeds.push(b"\x01auth.issuers=[{issuer=\"x\"}]".to_vec());
        seeds.push(b"\x02VITRINE__ORDER__HOLD_TTL_S=600\nVITRINE__SERVER__ADDRESS=1".to_vec());
        seeds
    }
}
