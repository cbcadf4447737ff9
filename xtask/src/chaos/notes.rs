//! What a framework under chaos writes down: one JSON object a line, appended and never changed.
//!
//! The file is both the framework's memory, which the next instance of it reads, and the witness of
//! what the cluster told. Always holds: what was synced is whole lines; a line that the death of
//! the process cut short is cut off when the file is opened again.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// When, in milliseconds since 1970.
    pub(crate) at: u64,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub(crate) enum What {
    /// An instance of the framework began.
    Began,
    /// A master knows it under this id.
    Registered { framework: String },
    /// The connection broke.
    Disconnected,
    /// It was offered something; written at most every tenth of a second.
    Offered,
    /// It is about to launch a task on an agent.
    Launched { task: String, attempt: u32, agent: String },
    /// The agent has recorded the task.
    Accepted { task: String, attempt: u32, agent: String },
    /// The scheduler was told of a state.
    Told(Word),
    /// The master sent an end, be it news or a repetition.
    Sent(Word),
    /// The load is over and all tasks have ended.
    Done,
}

/// A status update, as far as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Word {
    pub(crate) task: String,
    pub(crate) attempt: u32,
    /// Its number, 0 if the master itself says it.
    pub(crate) seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    /// The state in capitals, and of an end what it was in a sentence.
    pub(crate) state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<End>,
}

/// What the end of an attempt means for its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// It came to what it was made for.
    Well,
    /// It was lost, refused or killed, or failed without its own fault: it is started again.
    Again,
    /// It ended as it never should.
    Badly,
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A file of notes to write to.
#[derive(Debug)]
pub(crate) struct Book(File);

impl Book {
    /// Opens the file, made if need be, and gives what is in it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Note>)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(path);
        let mut file = file.with_context(|| path.display().to_string())?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (notes, whole) = read(&bytes)?;
        file.set_len(whole as u64)?;
        Ok((Self(file), notes))
    }

    /// Appends a note of now.
    pub(crate) fn write(&mut self, what: What) -> Result<()> {
        let mut line = serde_json::to_vec(&Note { at: now(), what })?;
        line.push(b'\n');
        Ok(self.0.write_all(&line)?)
    }

    /// Returns when all that was written is on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        Ok(self.0.sync_data()?)
    }
}

/// Follows a file of notes while it is written.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    offset: u64,
    pub(crate) notes: Vec<Note>,
}

impl Reader {
    /// Takes in what is new; a file that is not there yet has nothing.
    pub(crate) fn follow(&mut self, path: &Path) -> Result<()> {
        let Ok(mut file) = File::open(path) else { return Ok(()) };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (notes, whole) = read(&bytes)?;
        self.notes.extend(notes);
        self.offset += whole as u64;
        Ok(())
    }
}

/// The notes of all whole lines, and how many bytes these are.
fn read(bytes: &[u8]) -> Result<(Vec<Note>, usize)> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let note = |line: &[u8]| {
        serde_json::from_slice(line).with_context(|| String::from_utf8_lossy(line).into_owned())
    };
    Ok((lines.map(note).collect::<Result<_>>()?, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_but_for_a_line_that_was_cut_short() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes");
        let (mut book, before) = Book::open(&path).expect("a new file");
        assert_eq!(before, []);
        book.write(What::Began).expect("written");
        let word = Word {
            task: "t-1".into(),
            attempt: 2,
            seq: 3,
            agent: Some("a".into()),
            state: "FINISHED".into(),
            end: Some(End::Well),
        };
        book.write(What::Told(word.clone())).expect("written");
        book.0.write_all(b"{\"at\": 17, \"no").expect("written");
        drop(book);

        let mut reader = Reader::default();
        reader.follow(&path).expect("readable");
        let (mut book, notes) = Book::open(&path).expect("the same file");
        assert_eq!(reader.notes, notes);
        let whats: Vec<_> = notes.into_iter().map(|note| note.what).collect();
        assert_eq!(whats, [What::Began, What::Told(word)]);
        book.write(What::Done).expect("written");
        reader.follow(&path).expect("readable");
        assert_eq!(reader.notes.last().map(|note| &note.what), Some(&What::Done));
    }
}
