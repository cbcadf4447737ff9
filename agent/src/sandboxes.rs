//! Sandboxes of ended tasks: found at the start, removed by order.

use crate::folders::Folders;
use cap_std::fs::Dir;
use skep_agent_core::{Input, Layout};
use skep_protocol::{FrameworkId, TaskId, TaskKey, ids::Attempt};
use std::{io, sync::Arc};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// The sandboxes that earlier runs left, oldest first. Removes the folders of frameworks that
/// have none left: no executor runs yet that could be about to use them.
pub(crate) fn found(folders: &Folders) -> io::Result<Vec<Input>> {
    let mut sandboxes = Vec::new();
    for entry in folders.tasks.entries()? {
        let name = entry?.file_name();
        let Some(framework) = name.to_str().and_then(|name| FrameworkId::new(name).ok()) else {
            continue;
        };
        // It fails if the folder is not empty, and then it is to stay.
        if folders.tasks.remove_dir(&name).is_ok() {
            continue;
        }
        list(&folders.tasks.open_dir(&name)?, &framework, &mut sandboxes)?;
    }
    sandboxes.sort();
    Ok(sandboxes.into_iter().map(|(_, key)| Input::SandboxKept { key }).collect())
}

fn list(
    dir: &Dir,
    framework: &FrameworkId,
    sandboxes: &mut Vec<(std::time::SystemTime, TaskKey)>,
) -> io::Result<()> {
    for entry in dir.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(key) = name.to_str().and_then(|name| key_of(framework, name)) {
            sandboxes.push((entry.metadata()?.modified()?.into_std(), key));
        }
    }
    Ok(())
}

/// The other direction of [`Layout::sandbox_name`].
fn key_of(framework: &FrameworkId, name: &str) -> Option<TaskKey> {
    let (task, attempt) = name.rsplit_once('.')?;
    let (task, attempt) = (TaskId::new(task).ok()?, Attempt(attempt.parse().ok()?));
    Some(TaskKey { framework: framework.clone(), task, attempt })
}

/// Removals at once. More of them only queue for the file system's journal, and reads of what other
/// tasks wrote queue behind them.
static REMOVALS: Semaphore = Semaphore::const_new(4);

/// Removes a sandbox, if it was ever made.
pub(crate) fn remove(folders: &Arc<Folders>, key: TaskKey) {
    let folders = folders.clone();
    tokio::spawn(async move {
        // It is never closed.
        let Ok(_turn) = REMOVALS.acquire().await else { return };
        let removing = spawn_blocking(move || {
            match folders.tasks.remove_dir_all(Layout::sandbox_name(&key)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%key, %error, "a sandbox cannot be removed");
                }
                _ => {}
            }
        });
        // It does not panic, and nobody aborts it.
        let _ = removing.await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn sandboxes_of_earlier_runs_are_found_and_empty_folders_are_removed() {
        let outer = tempfile::tempdir().expect("a folder");
        let folders = Folders::open(outer.path(), outer.path(), "f00").expect("folders");
        let tasks = &folders.layout.tasks;
        let key = key_of(&FrameworkId::new("f1").expect("an id"), "t.5.2").expect("a sandbox");
        assert_eq!(key.to_string(), "f1/t.5#2");
        fs::create_dir_all(tasks.join(Layout::sandbox_name(&key))).expect("made");
        fs::create_dir_all(tasks.join("f2")).expect("made");
        fs::create_dir_all(tasks.join("f1/stray")).expect("made");
        let inputs = found(&folders).expect("listed");
        assert_eq!(inputs, [Input::SandboxKept { key }]);
        assert!(!tasks.join("f2").exists());
    }
}
