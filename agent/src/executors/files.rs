//! The open files that accompany an order to start guests.
//!
//! Always holds: what leaves with an order are its guests' files in the order of
//! [`start_files`]; a guest whose file cannot be opened is taken out of the order, and told of as
//! one that failed.

use crate::{artifacts::Artifacts, feeds::Feeds, folders::Folders};
use rustix::fs::{Mode, OFlags, openat};
use skep_protocol::{
    Artifact, Digest, Outcome, Usage,
    executor::{Report, StartFile, StartGuest, start_files},
};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fs::File,
    io,
    sync::Arc,
    time::UNIX_EPOCH,
};
use tokio::task::spawn_blocking;

/// An order that can be given, and the guests that had to be left out of it.
pub(super) struct Attached {
    pub(super) guests: Vec<StartGuest>,
    pub(super) files: Vec<Arc<File>>,
    pub(super) failed: Vec<Report>,
}

/// Opens what the guests need.
pub(super) async fn attach(
    folders: &Folders,
    artifacts: &Arc<Artifacts>,
    feeds: &Feeds,
    guests: Vec<StartGuest>,
) -> Attached {
    let mut opened = BTreeMap::new();
    for guest in &guests {
        let artifact = guest.artifact();
        if let Entry::Vacant(vacant) = opened.entry(artifact) {
            vacant.insert(open(artifacts, artifact).await);
        }
    }
    let blobs = guests.iter().flat_map(|guest| &guest.inputs).map(|input| input.digest);
    let inputs: BTreeMap<Digest, io::Result<Arc<File>>> = blobs
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|it| (it, open_blob(folders, &it)))
        .collect();
    let mut failed = Vec::new();
    let mut able = Vec::new();
    for guest in guests {
        let stdin = match guest.grants.stdin {
            Some(blob) => open_blob(folders, &blob).map(Some),
            None if guest.grants.stdin_stream => feeds.open(&guest.key).map(Some),
            None => Ok(None),
        };
        let missing = guest.inputs.iter().find_map(|input| {
            let error = inputs[&input.digest].as_ref().err()?;
            Some(format!("its input {:?} cannot be opened: {error}", input.guest))
        });
        let why = match (&opened[&guest.artifact()], stdin, missing) {
            (Ok(_), Ok(stdin), None) => {
                able.push((guest, stdin));
                continue;
            }
            (Err(why), _, _) => format!("module {}: {why}", guest.module),
            (_, Err(error), _) => format!("its standard input cannot be opened: {error}"),
            (_, _, Some(why)) => why,
        };
        failed.push(ended(guest, why));
    }
    let (guests, mut stdins): (Vec<_>, Vec<_>) = able.into_iter().unzip();
    let file = |file: StartFile| match file {
        StartFile::Artifact { artifact } => opened[&artifact].as_ref().ok().cloned(),
        StartFile::Stdin { guest, .. } | StartFile::Stream { guest } => stdins[guest].take(),
        StartFile::Input { blob } => inputs[&blob].as_ref().ok().cloned(),
    };
    let files: Vec<_> = start_files(&guests).into_iter().filter_map(file).collect();
    Attached { guests, files, failed }
}

async fn open(artifacts: &Arc<Artifacts>, artifact: Artifact) -> Result<Arc<File>, String> {
    if let Some(file) = artifacts.find(&artifact) {
        return Ok(file);
    }
    let artifacts = Arc::clone(artifacts);
    match spawn_blocking(move || artifacts.open(&artifact)).await {
        Ok(opened) => opened.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Each guest reads from an open file of its own: descriptors of one share their place in it.
fn open_blob(folders: &Folders, blob: &Digest) -> io::Result<Arc<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&folders.blobs, blob.hex(), flags, Mode::empty())?;
    Ok(Arc::new(file.into()))
}

fn ended(guest: StartGuest, why: String) -> Report {
    let now = UNIX_EPOCH.elapsed().unwrap_or_default();
    Report::Ended {
        key: guest.key,
        at: skep_protocol::Time::from_micros(u64::try_from(now.as_micros()).unwrap_or(u64::MAX)),
        outcome: Outcome::Failed { why },
        usage: Usage::default(),
        result: Vec::new(),
        last_words: String::new(),
    }
}
