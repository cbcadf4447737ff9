//! Small disks of their own for some machines, so that they can be filled without harm.

use super::net::run;
use anyhow::Result;
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

/// The file that fills a disk.
const FILLER: &str = "filler";
/// How much is written at a time.
const PIECE: usize = 1 << 16;

/// A small file system in memory, mounted on a folder. It is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts it; the folder is made.
    pub(crate) fn mount(folder: &Path, mebibytes: u64) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let size = format!("size={mebibytes}m");
        let place = folder.to_string_lossy();
        run("mount", &["-t", "tmpfs", "-o", &size, "skep-chaos", &place])?;
        Ok(Self(folder.to_owned()))
    }

    /// Writes until there is no more room.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut filler = File::create(self.0.join(FILLER))?;
        let mut piece = vec![7; PIECE];
        while !piece.is_empty() {
            if filler.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
        Ok(())
    }

    /// Makes room again.
    pub(crate) fn empty(&self) -> Result<()> {
        Ok(fs::remove_file(self.0.join(FILLER))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: what still has files open in it is on its way out.
        let _ = run("umount", &["-l", &self.0.to_string_lossy()]);
    }
}
