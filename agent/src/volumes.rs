//! Folders of volumes that the master has made on this agent.

use crate::folders::Folders;
use cap_std::fs::{Permissions, PermissionsExt as _};
use skep_agent_core::Layout;
use skep_protocol::agent::Volume;
use std::{io, sync::Arc};

/// Makes the folder, if it is not there. Whoever gets there may write: only executors do, since
/// the folder above is the agent's alone, and those of one role are different users.
pub(crate) fn make(folders: &Arc<Folders>, volume: &Volume) {
    let name = Layout::volume_name(volume);
    let made = match folders.volumes.create_dir(&name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    };
    let opened =
        made.and_then(|()| folders.volumes.set_permissions(&name, Permissions::from_mode(0o777)));
    if let Err(error) = opened {
        // The executor of a task that is granted it will not find it, and says so.
        tracing::error!(volume = volume.name, %error, "a volume cannot be made");
    }
}

/// Removes the folder with all that is in it.
pub(crate) fn remove(folders: &Arc<Folders>, volume: Volume) {
    let folders = folders.clone();
    tokio::task::spawn_blocking(move || {
        match folders.volumes.remove_dir_all(Layout::volume_name(&volume)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(volume = volume.name, %error, "a volume cannot be removed");
            }
            _ => {}
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::{Amount, Role, Time};
    use std::{fs, os::unix::fs::PermissionsExt as _};

    #[test]
    fn what_is_in_a_volume_survives_its_being_made_again() {
        let outer = tempfile::tempdir().expect("a folder");
        let folders = Folders::open(outer.path(), outer.path(), "f00").expect("folders");
        let folders = Arc::new(folders);
        let (role, disk, made) = (Role::default(), Amount::units(1), Time::from_micros(5));
        let volume = Volume { name: "v".into(), role, disk, made };
        make(&folders, &volume);
        let path = folders.layout.volume(&volume);
        fs::write(path.join("kept"), "here").expect("written");
        make(&folders, &volume);
        assert_eq!(fs::read(path.join("kept")).expect("read"), b"here");
        let mode = |path: &std::path::Path| path.metadata().expect("there").permissions().mode();
        assert_eq!(mode(&path) & 0o777, 0o777);
        assert_eq!(mode(&folders.layout.volumes) & 0o777, 0o700);
    }
}
