//! Files with certificates and keys, as they are read again and again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::tls::TlsError;

/// A file that did not change for so long is whole.
pub(crate) const SETTLED: Duration = Duration::from_millis(100);
/// So often it is looked whether files stand still, before they wait for the next round.
pub(crate) const LOOKS: usize = 10;

/// What several files held at one time.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pems(Vec<Vec<u8>>);

impl Pems {
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self, TlsError> {
        let read =
            |file: &PathBuf| std::fs::read(file).map_err(|error| failed(file, error.to_string()));
        files.iter().map(read).collect::<Result<_, _>>().map(Pems)
    }

    /// What a file held; nothing for one that was not read.
    pub(crate) fn at(&self, index: usize) -> &[u8] {
        self.0.get(index).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The certificates of a file; at least one.
pub(crate) fn certificates(
    file: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(file, error.to_string()))?;
    if found.is_empty() {
        return Err(failed(file, "holds no certificate".into()));
    }
    Ok(found)
}

pub(crate) fn failed(file: &Path, problem: String) -> TlsError {
    TlsError::File {
        path: file.to_owned(),
        problem,
    }
}
