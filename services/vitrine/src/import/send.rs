//! Sends a file and takes in what is answered, again from the beginning when the connection breaks.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use contracts::catalog::v1::{
    ImportHeader, ImportProductsRequest, ImportSummary, import_products_request::Part,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::io::AsyncReadExt;
use tonic::{Code, Status};

use super::report::Report;
use super::screen::Screen;
use super::tally::Tally;
use crate::demo::client::{Caller, reason};

/// Bytes of one request.
const CHUNK: usize = 128 * 1024;

/// How often an import that broke is begun again.
const TRIES: u32 = 6;

/// Whether there is such a file.
pub fn look(file: &Path) -> anyhow::Result<()> {
    if file == Path::new("-") {
        return Ok(());
    }
    let meta = std::fs::metadata(file)
        .with_context(|| format!("the file {} can not be read", file.display()))?;
    if meta.is_dir() {
        bail!("{} is a folder: name a file in it", file.display());
    }
    std::fs::File::open(file)
        .map(drop)
        .with_context(|| format!("the file {} can not be read", file.display()))
}

/// The size of a file, when it has one.
pub fn size(file: &Path) -> Option<u64> {
    let meta = std::fs::metadata(file).ok()?;
    meta.is_file().then_some(meta.len())
}

/// A file on its way.
pub struct Sent<'a> {
    /// The file; `-` for standard input.
    pub file: &'a Path,
    /// What is said before it.
    pub header: ImportHeader,
}

/// What went wrong on this side while the file was read.
type ReadError = Arc<Mutex<Option<std::io::Error>>>;

impl Sent<'_> {
    /// Sends it and takes in the answers.
    pub async fn send(
        &self,
        caller: &Caller,
        tally: &mut Tally,
        screen: &mut Screen,
        report: &mut Report,
    ) -> anyhow::Result<ImportSummary> {
        let mut pause = Duration::from_millis(100);
        let mut tries = 1;
        loop {
            let broken = match self.once(caller, tally, screen, report).await? {
                Ok(summary) => return Ok(summary),
                Err(status) => status,
            };
            let again = matches!(
                broken.code(),
                Code::Unavailable | Code::Aborted | Code::Unknown | Code::ResourceExhausted
            );
            if !again || tries == TRIES || self.file == Path::new("-") {
                let hint = match broken.code() {
                    Code::Unauthenticated | Code::PermissionDenied => {
                        "; use a token of the retailer with the role OPS, or the suite's own --data-dir"
                    }
                    _ if again => {
                        "; rows that have a verdict are kept, and the same command goes on"
                    }
                    _ => "",
                };
                let reason = reason(&broken);
                bail!(
                    "the import was refused or broken: {} ({:?} {reason}){hint}",
                    broken.message(),
                    broken.code()
                );
            }
            screen.say(&format!(
                "the connection broke ({}); beginning again",
                broken.message()
            ));
            tokio::time::sleep(pause).await;
            (tries, pause) = (tries + 1, pause * 2);
            tally.again();
            screen.again();
            report.again()?;
        }
    }

    async fn once(
        &self,
        caller: &Caller,
        tally: &mut Tally,
        screen: &mut Screen,
        report: &mut Report,
    ) -> anyhow::Result<Result<ImportSummary, Status>> {
        let unread = ReadError::default();
        let requests = requests(self.file, self.header.clone(), unread.clone()).await?;
        let mut answers = match caller.products().import_products(requests).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        loop {
            let response = match answers.message().await {
                Ok(Some(response)) => response,
                Ok(None) => {
                    let message = "the server ended the import without its summary";
                    return Ok(Err(Status::unavailable(message)));
                }
                Err(status) => return Ok(Err(status)),
            };
            for row in &response.rows {
                let outcome = tally.add(row);
                report.row(row, outcome)?;
                screen.row(row, outcome)?;
            }
            screen.progress(response.progress.unwrap_or_default(), tally);
            if let Some(summary) = response.summary {
                let failed = unread.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(error) = failed {
                    return Err(error).context(
                        "the file could not be read to its end; what was read is imported",
                    );
                }
                return Ok(Ok(summary));
            }
        }
    }
}

/// The header, then the bytes as fast as they are taken.
async fn requests(
    file: &Path,
    header: ImportHeader,
    unread: ReadError,
) -> anyhow::Result<BoxStream<'static, ImportProductsRequest>> {
    let is_input = file == Path::new("-");
    let path = if is_input {
        Path::new("/dev/stdin")
    } else {
        file
    };
    let opened = tokio::fs::File::open(path).await;
    let reader = opened.with_context(|| format!("the file {} can not be read", path.display()))?;
    let first = stream::iter([ImportProductsRequest {
        part: Some(Part::Header(header)),
    }]);
    let bytes = stream::unfold((reader, unread), |(mut reader, unread)| async move {
        let mut chunk = vec![0; CHUNK];
        let mut filled = 0;
        while filled < CHUNK {
            match reader.read(&mut chunk[filled..]).await {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) => {
                    *unread.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    break;
                }
            }
        }
        chunk.truncate(filled);
        let request = ImportProductsRequest {
            part: Some(Part::Chunk(chunk)),
        };
        (filled > 0).then_some((request, (reader, unread)))
    });
    Ok(first.chain(bytes).boxed())
}
