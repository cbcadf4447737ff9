//! Files of this machine on their way into the cluster and back.

use crate::{
    failure::{Result, Sentence},
    words,
};
use skep_framework::Cluster;
use skep_parcel::{Budget, Folder, Packed, pack, pack_exactly, unpack};
use skep_protocol::{
    Digest,
    outcome::Delivered,
    pattern,
    task::{Form, Input},
};
use skep_transport::blob;
use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{self, BufReader, BufWriter, Seek as _},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};
use tokio::task::spawn_blocking;

/// Where an input lies that is not told so: under the name that it has here; what a pattern stands
/// for lies in the task's own folder itself.
///
/// # Errors
/// A sentence, if that name is not UTF-8.
pub(crate) fn guest_of(file: &Path) -> std::result::Result<String, String> {
    match file.file_name().filter(|_| !has_signs(file)) {
        Some(name) => {
            let why = "the names of a guest's files are: say another as in FILE::NAME";
            words::text(name, why).map_err(|refused| refused.to_string())
        }
        None => Ok(".".into()),
    }
}

fn has_signs(path: &Path) -> bool {
    path.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?'))
}

/// The folder of a path with `*` and `?` before the first of these signs, and what stands there.
fn split(path: &Path) -> (&Path, &OsStr) {
    let bytes = path.as_os_str().as_bytes();
    let sign = bytes.iter().position(|byte| matches!(byte, b'*' | b'?')).unwrap_or(bytes.len());
    let (base, signs) = match bytes[..sign].iter().rposition(|byte| *byte == b'/') {
        Some(0) => (&b"/"[..], &bytes[1..]),
        Some(slash) => (&bytes[..slash], &bytes[slash + 1..]),
        None => (&b"."[..], bytes),
    };
    (Path::new(OsStr::from_bytes(base)), OsStr::from_bytes(signs))
}

/// Where an output goes that is not told so: where it lies in the task's own folder, here.
pub(crate) fn file_of(guest: &str) -> PathBuf {
    let base = if pattern::is_pattern(guest) { pattern::split(guest).0 } else { guest };
    if base.is_empty() { ".".into() } else { base.into() }
}

/// What a file, a folder or what a pattern stands for is as a blob, and as what it lies there.
///
/// # Errors
/// A sentence that says why it cannot be one.
pub(crate) fn look_at(file: &Path) -> std::result::Result<(Digest, Form), String> {
    read(file).map(|local| (local.packed.digest, local.packed.form))
}

/// A file, a folder or what a pattern stands for, as a blob.
struct Local {
    packed: Packed,
    bytes: File,
}

/// Stores a file, a folder or what a pattern stands for at the master, unless it has it, as the
/// input `guest`.
pub(crate) async fn push(cluster: &Cluster, file: &Path, guest: &str) -> Result<Input> {
    let path = file.to_owned();
    let cannot = |why: String| {
        Sentence(format!("the input \"{}\" cannot be sent: {why}", words::shown(file)))
    };
    let read = spawn_blocking(move || read(&path)).await?;
    let Local { packed: Packed { digest, size, form }, bytes } = read.map_err(cannot)?;
    if form == Form::File && guest == "." {
        let why = "it is a file, and \".\" is a folder: say what it is called there, as in \
                   FILE::NAME";
        return Err(cannot(why.into()).into());
    }
    let bytes = tokio::fs::File::from_std(bytes);
    blob::put(&cluster.connection(), digest, size, bytes).await?;
    Ok(Input { digest, guest: guest.into(), form })
}

fn read(path: &Path) -> std::result::Result<Local, String> {
    let is_there = fs::metadata(path).is_ok();
    let signs = !is_there && has_signs(path);
    let (base, name) = if signs { split(path) } else { (path, OsStr::new(".")) };
    let base = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    // Links that lead to it are followed, those in it are not.
    let base = fs::canonicalize(base).map_err(|error| error.to_string())?;
    let (folder, name) = match (base.is_dir(), signs) {
        (true, _) => (base, name.to_owned()),
        (false, _) => {
            let name = base.file_name().map(ToOwned::to_owned);
            let above = base.parent().map(Path::to_path_buf);
            let (Some(name), Some(above)) = (name, above) else {
                return Err("it is neither a file nor a folder".into());
            };
            (above, name)
        }
    };
    let root = Folder::open(&folder).map_err(|error| error.to_string())?;
    let failed = |error: skep_parcel::PackError| error.to_string();
    let nothing = || "nothing of that name is there".to_owned();
    if name != "." && !signs {
        let packed = pack_exactly(&root, &name, &mut io::sink());
        let packed = packed.map_err(failed)?.ok_or_else(nothing)?;
        let bytes = File::open(folder.join(&name)).map_err(|error| error.to_string())?;
        return Ok(Local { packed, bytes });
    }
    let name = words::text(&name, "what * and ? stand for is said in text");
    let name = name.map_err(|refused| refused.to_string())?;
    let file = tempfile::tempfile().map_err(|error| error.to_string())?;
    let mut tar = BufWriter::new(file);
    let packed = pack(&root, &name, &mut tar).map_err(failed)?.ok_or_else(nothing)?;
    let mut bytes = tar.into_inner().map_err(|error| error.to_string())?;
    bytes.rewind().map_err(|error| error.to_string())?;
    Ok(Local { packed, bytes })
}

/// Fetches an output to a file, which it replaces, or into a folder.
pub(crate) async fn fetch(cluster: &Cluster, output: &Delivered, to: &Path) -> Result {
    let cannot = |why: &dyn ToString| {
        Sentence(format!(
            "the output {:?} cannot be brought to {}: {}",
            output.guest,
            words::shown(to),
            why.to_string()
        ))
    };
    let digest = output.digest;
    match output.form {
        Form::File => {
            if to.exists() && !to.is_file() {
                return Err(cannot(&"something that is no file is there").into());
            }
            let above = to.parent().filter(|above| !above.as_os_str().is_empty());
            let above = above.unwrap_or(Path::new("."));
            fs::create_dir_all(above).map_err(|error| cannot(&error))?;
            let draft = tempfile::Builder::new()
                .prefix(".skep-")
                .permissions(Permissions::from_mode(0o666))
                .tempfile_in(above)
                .map_err(|error| cannot(&error))?;
            let file = draft.as_file().try_clone().map_err(|error| cannot(&error))?;
            let mut file = tokio::fs::File::from_std(file);
            let fetched = blob::fetch(&cluster.connection(), digest, &mut file).await;
            fetched.map_err(|error| cannot(&error))?;
            draft.persist(to).map_err(|error| cannot(&error.error))?;
        }
        Form::Folder => {
            fs::create_dir_all(to).map_err(|error| cannot(&error))?;
            let draft = tempfile::tempfile().map_err(|error| cannot(&error))?;
            let file = draft.try_clone().map_err(|error| cannot(&error))?;
            let mut file = tokio::fs::File::from_std(file);
            let fetched = blob::fetch(&cluster.connection(), digest, &mut file).await;
            fetched.map_err(|error| cannot(&error))?;
            let folder = to.to_path_buf();
            let laid = spawn_blocking(move || lay(draft, &folder)).await?;
            laid.map_err(|why| cannot(&why))?;
        }
    }
    Ok(())
}

fn lay(mut tar: File, folder: &Path) -> std::result::Result<(), String> {
    tar.rewind().map_err(|error| error.to_string())?;
    let root = Folder::open(folder).map_err(|error| error.to_string())?;
    let mut budget = Budget { bytes: u64::MAX, names: u64::MAX };
    let laid = unpack(&root, ".", Form::Folder, BufReader::new(tar), &mut budget, || true);
    laid.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_given_are_those_of_the_other_side() {
        let guest = |file: &[u8]| guest_of(Path::new(OsStr::from_bytes(file)));
        assert_eq!(guest(b"a/b.csv").as_deref(), Ok("b.csv"));
        assert_eq!(guest(b"conf/").as_deref(), Ok("conf"));
        assert_eq!(guest(b".").as_deref(), Ok("."));
        assert_eq!(guest(b"in/*.csv").as_deref(), Ok("."));
        assert_eq!(guest(b"caf\xe9/a").as_deref(), Ok("a"));
        let refused = guest(b"a/caf\xe9").expect_err("no text");
        assert!(refused.starts_with("\"caf\\xE9\" is not UTF-8"), "{refused}");
        assert_eq!(file_of("out/a.png"), Path::new("out/a.png"));
        assert_eq!(file_of("out/*.png"), Path::new("out"));
        assert_eq!(file_of("*.png"), Path::new("."));
    }

    #[test]
    fn a_file_a_folder_and_a_pattern_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [&b"1.csv"[..], b"2.csv", b"a*b", b"caf\xe9"] {
            fs::write(folder.path().join(OsStr::from_bytes(name)), name).expect("written");
        }
        std::os::unix::fs::symlink("1.csv", folder.path().join("link")).expect("linked");
        let at = |name: &str| folder.path().join(name);
        let form = |name: &str| read(&at(name)).map(|local| local.packed.form);
        let digest = |name: &str| read(&at(name)).map(|local| local.packed.digest);
        assert_eq!(digest("1.csv"), Ok(Digest::of(b"1.csv")));
        assert_eq!(digest("link"), Ok(Digest::of(b"1.csv")), "who names a link means its file");
        // What is there under that very name is meant.
        assert_eq!(digest("a*b"), Ok(Digest::of(b"a*b")));
        assert_eq!(form("*.csv"), Ok(Form::Folder));
        assert_eq!(form("*.jpg"), Err("nothing of that name is there".into()));
        let foreign = read(&folder.path().join(OsStr::from_bytes(b"caf\xe9")));
        assert_eq!(foreign.map(|local| local.packed.digest), Ok(Digest::of(b"caf\xe9")));
        let refused = form("").expect_err("there is a link in it");
        assert!(refused.contains("is a link"), "{refused}");
    }
}
