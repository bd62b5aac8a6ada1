//! Everything that proves an identity is replaced while calls go on: the server's certificate and its authority, the
//! clients' certificates and their authority, the list of what is revoked, and an issuer's keys.

use super::*;
use crate::layers::Response;
use crate::wire::{RemoteConfig, Wire};

const WORKERS: usize = 3;

/// Callers that never stop, and what went wrong for them.
struct Load {
    running: Arc<Mutex<bool>>,
    token: Arc<Mutex<String>>,
    /// What is shown and trusted by who connects anew for each call.
    fresh: Arc<Mutex<(Leaf, String)>>,
    calls: Arc<Mutex<HashMap<String, usize>>>,
    failures: Arc<Mutex<Vec<String>>>,
    path: String,
}

impl Load {
    fn new(path: &str, token: String, fresh: (Leaf, String)) -> Arc<Load> {
        Arc::new(Load {
            running: Arc::new(Mutex::new(true)),
            token: Arc::new(Mutex::new(token)),
            fresh: Arc::new(Mutex::new(fresh)),
            calls: Arc::default(),
            failures: Arc::default(),
            path: path.to_owned(),
        })
    }

    fn is_running(&self) -> bool {
        *self.running.lock().expect("alive")
    }

    fn request(&self, worker: &str) -> crate::layers::Request {
        let token = self.token.lock().expect("alive").clone();
        let mut request = request(&self.path, Some(&token));
        let worker = worker.parse().expect("a word");
        request.headers_mut().insert("x-worker", worker);
        request
    }

    async fn ended(&self, worker: &str, answer: Result<Response, String>) {
        let problem = match answer {
            Ok(answer) => Some(status_of(answer).await)
                .filter(|status| status.code() != Code::Ok)
                .map(|status| format!("{status:?}")),
            Err(error) => Some(error),
        };
        if let Some(problem) = problem {
            let mut failures = self.failures.lock().expect("alive");
            failures.push(format!("{worker}: {problem}"));
        }
        let mut calls = self.calls.lock().expect("alive");
        *calls.entry(worker.to_owned()).or_default() += 1;
    }

    /// Calls over a wire that renews its own certificates.
    async fn over(self: Arc<Self>, wire: Wire, worker: String) {
        let mut pace = tokio::time::interval(Duration::from_millis(3));
        while self.is_running() {
            pace.tick().await;
            let answer = wire.clone().oneshot(self.request(&worker)).await;
            let answer = answer.map_err(|error| crate::errors::chain(&*error));
            self.ended(&worker, answer).await;
        }
    }

    /// Connects anew for each call.
    async fn anew(self: Arc<Self>, address: SocketAddr) {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while self.is_running() {
            pace.tick().await;
            let (leaf, trusted) = self.fresh.lock().expect("alive").clone();
            let channel = connect(address, Some(&leaf), &trusted);
            let answer = channel.oneshot(self.request("fresh")).await;
            let answer = answer.map_err(|error| crate::errors::chain(&error));
            self.ended("fresh", answer).await;
        }
    }

    /// Everybody has made so many calls more.
    async fn go_on(&self) {
        let counts = || self.calls.lock().expect("alive").clone();
        let before = counts();
        eventually("everybody called again", || async {
            let now = counts();
            let more = |worker: &String| {
                now.get(worker).copied() > before.get(worker).map(|count| count + 5)
            };
            now.len() > WORKERS && now.keys().all(more)
        })
        .await;
    }
}

struct Rotation {
    world: World,
    keys: tempfile::TempDir,
    load: Arc<Load>,
    second: Authority,
}

async fn rotation() -> Rotation {
    let keys = tempfile::tempdir().expect("a folder");
    let file = keys.path().join("acme.jwks.json");
    fs::write(&file, key_set(&[2])).expect("written");
    let mut auth = AuthConfig {
        jwks_refresh_s: 1,
        ..AuthConfig::default()
    };
    auth.issuers.push(IssuerConfig {
        jwks_file: Some(file),
        ..acme()
    });
    let world = World::new(Plan {
        auth,
        ..Plan::default()
    })
    .await;
    let (method, _) = world.method_for(Audience::Partner);
    let fresh = (world.authority.client(SPIFFE), world.authority.pem());
    let load = Load::new(&method.path, token(&world, 2), fresh);
    let rotation = Rotation {
        world,
        keys,
        load,
        second: Authority::new("second"),
    };
    rotation.start();
    rotation
}

fn token(world: &World, seed: u8) -> String {
    let (_, access) = world.method_for(Audience::Partner);
    let claims = claims_for(&access).scopes(&access.scopes);
    world.signer(seed).mint(claims, HOUR)
}

impl Rotation {
    fn start(&self) {
        let world = &self.world;
        self.give(&world.authority, &world.authority.pem());
        for worker in self.workers() {
            let config = RemoteConfig {
                ca_file: Some(world.file(&format!("{worker}.ca"))),
                cert_file: Some(world.file(&format!("{worker}.crt"))),
                key_file: Some(world.file(&format!("{worker}.key"))),
                reload_interval_s: 1,
                ..RemoteConfig::default()
            };
            let uri = format!("https://{}", world.address);
            let (clock, ids) = (&world.bench.deps.clock, &world.bench.deps.ids);
            let wire = Wire::remote(&uri, &config, clock, ids).expect("a wire");
            drop(crate::spawn("worker", self.load.clone().over(wire, worker)));
        }
        drop(crate::spawn("fresh", self.load.clone().anew(world.address)));
    }

    fn workers(&self) -> Vec<String> {
        (0..WORKERS).map(|number| format!("w{number}")).collect()
    }

    /// Gives each caller a new certificate of this authority, and others to trust. The new ones, by caller.
    fn give(&self, authority: &Authority, trusted: &str) -> HashMap<String, PeerCertificate> {
        let mut given = HashMap::new();
        for worker in self.workers() {
            let leaf = authority.client(SPIFFE);
            self.world.write(&format!("{worker}.ca"), trusted);
            self.world.write(&format!("{worker}.crt"), &leaf.cert);
            self.world.write(&format!("{worker}.key"), &leaf.key);
            given.insert(worker, leaf.peer);
        }
        let leaf = authority.client(SPIFFE);
        given.insert("fresh".into(), leaf.peer.clone());
        *self.load.fresh.lock().expect("alive") = (leaf, trusted.to_owned());
        given
    }

    /// Everybody calls with the certificate that they were given.
    async fn shown(&self, given: &HashMap<String, PeerCertificate>) {
        eventually("new certificates are shown", || async {
            *self.world.seen.lock().expect("alive") == *given
        })
        .await;
    }

    async fn is_served(&self, channel: &Channel) -> bool {
        let token = self.load.token.lock().expect("alive").clone();
        call(channel, &self.load.path, Some(&token)).await.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_rotated_under_load_and_no_call_fails() {
    let r = rotation().await;
    let (world, load, second) = (&r.world, &r.load, &r.second);
    let address = world.address;
    load.go_on().await;
    let both = format!("{}{}", world.authority.pem(), second.pem());

    // The server's certificate, and whoever issues it. First everybody trusts both.
    r.shown(&r.give(&world.authority, &both)).await;
    let server = second.server();
    world.write("tls.crt", &server.cert);
    world.write("tls.key", &server.key);
    let old_client = world.authority.client(SPIFFE);
    let trusting = |shown: &Leaf| connect(address, Some(shown), &second.pem());
    eventually("the new certificate is shown", || async {
        r.is_served(&trusting(&old_client)).await
    })
    .await;
    load.go_on().await;

    // The clients' authority: both are trusted, all clients change, the old one is given up.
    let lists = format!("{}{}", world.authority.revoked(&[]), second.revoked(&[]));
    world.write("clients.crl", &lists);
    world.write("clients.crt", &both);
    let new_client = second.client(SPIFFE);
    eventually("the new authority is trusted", || async {
        r.is_served(&trusting(&new_client)).await
    })
    .await;
    r.shown(&r.give(second, &both)).await;
    let open = trusting(&old_client);
    assert!(r.is_served(&open).await, "still trusted");
    world.write("clients.crt", &second.pem());
    world.write("clients.crl", &second.revoked(&[]));
    eventually(
        "the old authority is given up, on open connections too",
        || async { !r.is_served(&open).await && !r.is_served(&trusting(&old_client)).await },
    )
    .await;
    load.go_on().await;

    // One of them is revoked.
    let victim = trusting(&new_client);
    assert!(r.is_served(&victim).await);
    world.write("clients.crl", &second.revoked(&[&new_client]));
    eventually("who is revoked is refused", || async {
        !r.is_served(&victim).await && !r.is_served(&trusting(&new_client)).await
    })
    .await;
    load.go_on().await;

    // The issuer's keys: both are in the set, its tokens change, the old one is taken out.
    let file = r.keys.path().join("acme.jwks.json");
    let honest = trusting(&second.client(SPIFFE));
    let (old, new) = (token(world, 2), token(world, 3));
    let with = |token: String| {
        let (channel, path) = (honest.clone(), load.path.clone());
        async move { call(&channel, &path, Some(&token)).await }
    };
    fs::write(&file, key_set(&[2, 3])).expect("written");
    eventually("the new key is known", || async {
        with(new.clone()).await.is_ok()
    })
    .await;
    with(old.clone()).await.expect("both are good");
    load.token.lock().expect("alive").clone_from(&new);
    load.go_on().await;
    fs::write(&file, key_set(&[3])).expect("written");
    eventually("the old key is bad", || async {
        with(old.clone()).await.is_err()
    })
    .await;
    assert_eq!(reason(with(old).await), "UNAUTHENTICATED");
    load.go_on().await;

    *load.running.lock().expect("alive") = false;
    let failures = load.failures.lock().expect("alive").clone();
    assert_eq!(failures, Vec::<String>::new());
}
