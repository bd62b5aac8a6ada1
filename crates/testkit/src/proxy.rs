//! A network between the service and PostgreSQL that can be cut at a chosen word.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;

// How the simple protocol says it.
const COMMIT: &[u8] = b"COMMIT\0";

/// Where to cut the next connection that says a word, which is COMMIT unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the server has heard it.
    BeforeServer,
    /// When the server has heard it, whatever it makes of it.
    OnServer,
    /// After the server has answered, before the client has heard that.
    BeforeClient,
    /// Not at all: the connection stays open, but from here on nothing passes.
    Silent,
}

/// A cut, and the word it waits for.
struct Waiting {
    word: Vec<u8>,
    cut: Cut,
}

/// Passes everything through, until told to cut.
pub struct Proxy {
    port: u16,
    cuts: Arc<Mutex<Vec<Waiting>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of the loopback, before the server's Unix socket.
    pub async fn start(socket: PathBuf) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let cuts = Arc::new(Mutex::new(Vec::new()));
        let waiting = cuts.clone();
        let task = kit::spawn("proxy", async move {
            while let Ok((client, _)) = listener.accept().await {
                let (socket, waiting) = (socket.clone(), waiting.clone());
                kit::spawn("proxied", async move {
                    // An error is an end like any other.
                    let _ = pass(client, socket, waiting).await;
                });
            }
        });
        Ok(Proxy { port, cuts, task })
    }

    /// Where to connect to one of the databases behind it.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!(
            "postgres://{user}@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    /// Cuts the next connection that says COMMIT; several wait in line.
    pub fn cut_next(&self, cut: Cut) {
        self.cut_at(COMMIT, cut);
    }

    /// The same at another word. A statement's text passes only when it is prepared, once on each
    /// connection.
    pub fn cut_at(&self, word: &[u8], cut: Cut) {
        let word = word.to_owned();
        self.cuts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Waiting { word, cut });
    }

    /// How many cuts still wait.
    pub fn cuts_left(&self) -> usize {
        self.cuts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    client: TcpStream,
    socket: PathBuf,
    cuts: Arc<Mutex<Vec<Waiting>>>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = UnixStream::connect(socket).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = from_client.read(&mut asked) => {
                let said = &asked[..read?];
                if said.is_empty() {
                    return Ok(());
                }
                match next_cut(said, &cuts) {
                    Some(Cut::BeforeServer) => return Ok(()),
                    Some(Cut::OnServer) => return to_server.write_all(said).await,
                    Some(Cut::BeforeClient) => {
                        to_server.write_all(said).await?;
                        // That it answered is enough; nobody will hear what.
                        return from_server.read(&mut answered).await.map(drop);
                    }
                    Some(Cut::Silent) => {
                        // Until the client has had enough.
                        while from_client.read(&mut asked).await? > 0 {}
                        return Ok(());
                    }
                    None => to_server.write_all(said).await?,
                }
            }
            read = from_server.read(&mut answered) => {
                let said = &answered[..read?];
                if said.is_empty() {
                    return Ok(());
                }
                to_client.write_all(said).await?;
            }
        }
    }
}

fn next_cut(said: &[u8], cuts: &Mutex<Vec<Waiting>>) -> Option<Cut> {
    let mut cuts = cuts.lock().unwrap_or_else(PoisonError::into_inner);
    let says = |word: &[u8]| said.windows(word.len()).any(|window| window == word);
    if cuts.first().is_some_and(|next| says(&next.word)) {
        Some(cuts.remove(0).cut)
    } else {
        None
    }
}
