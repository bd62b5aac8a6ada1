//! The folder that checkpoints are kept in: one file for each life of a process and service, one line for each
//! checkpoint, only ever appended to.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::checkpoint::{Checkpoint, Keys};

const ENDING: &str = "jws";
/// The longest line that is read; a checkpoint has a few hundred bytes.
const LINE_MAX: u64 = 8_192;

/// The file of a series.
pub fn file(folder: &Path, series: &str) -> PathBuf {
    folder.join(format!("{series}.{ENDING}"))
}

/// The files of a service, oldest first.
pub fn files(folder: &Path, service: &str) -> anyhow::Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(folder).with_context(|| {
        format!(
            "the folder of checkpoints {} could not be read",
            folder.display()
        )
    })?;
    let mut found = Vec::new();
    for entry in listed {
        let path = entry?.path();
        let ours = path.extension().is_some_and(|ending| ending == ENDING)
            && series_of(&path).starts_with(&format!("{service}-"));
        if ours {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The series that a file is named after.
pub fn series_of(path: &Path) -> String {
    path.file_stem()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// A line of a file.
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// What stands there, without its end.
    pub text: String,
    /// Whether it has its end; the last one has none when the process died while it wrote it.
    pub ended: bool,
}

/// Reads a file a line at a time, whatever its length.
pub struct Lines {
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    /// From the first line.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path)
            .with_context(|| format!("the checkpoints in {} could not be read", path.display()))?;
        Ok(Lines {
            reader: BufReader::new(file),
            number: 0,
        })
    }

    /// The next line; none at the end. What is longer than any checkpoint comes in parts, none of which is one.
    pub fn next(&mut self) -> anyhow::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let read = (&mut self.reader)
            .take(LINE_MAX)
            .read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let ended = bytes.pop_if(|last| *last == b'\n').is_some() || read as u64 == LINE_MAX;
        Ok(Some(Line {
            number: self.number,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            ended,
        }))
    }
}

/// The highest checkpoint of a service that these keys signed, from the last lines of its files.
pub fn last(folder: &Path, service: &str, keys: &Keys) -> anyhow::Result<Option<Checkpoint>> {
    let mut highest: Option<Checkpoint> = None;
    for path in files(folder, service)? {
        let mut file = File::open(&path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LINE_MAX)))?;
        let mut bytes = Vec::new();
        file.take(LINE_MAX).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let found = text
            .lines()
            .rev()
            .find_map(|line| Checkpoint::open(line, keys).ok())
            .filter(|found| found.service == service);
        if let Some(found) = found
            && highest
                .as_ref()
                .is_none_or(|known| known.position < found.position)
        {
            highest = Some(found);
        }
    }
    Ok(highest)
}
