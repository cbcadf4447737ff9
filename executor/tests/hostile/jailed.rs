//! All hostile guests once more, in a process that is in a strict jail: none of them needs a wall
//! to be missing in order to be stopped, and the jail lets through all that guests are for.
//!
//! The process is in jail before its `main`, since the test harness starts threads and a jail is
//! entered without any.

#![expect(unsafe_code, reason = "a place in the section of what runs before main")]

use crate::kit::{guests_folder, programs_folder};
use skep_executor::jail::{self, Files, Jail, Network, Strictness};
use skep_protocol::task::Access;
use std::{env, fs::File, io::ErrorKind, process::Command};
use tokio::runtime;

/// Names the folder that is left open to a jailed process.
const FOLDER: &str = "SKEP_HOSTILE_JAIL";

#[used]
// SAFETY: the section holds pointers to such functions, and the standard library needs nothing of
// `main` for what this one does.
#[unsafe(link_section = ".init_array")]
static ENTER: extern "C" fn() = enter;

/// Here to panic is to abort, and the test sees it.
extern "C" fn enter() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let jail = Jail {
        strictness: Strictness::Strict,
        user: None,
        root: Some(folder.into()),
        dirs: [guests_folder(), programs_folder()].map(|dir| (dir, Access::ReadOnly)).into(),
        network: Network::Closed,
        files: Files::Own,
    };
    // As an executor does: the first runtime makes what all others use.
    drop(runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));
    jail::enter(&jail).expect("this machine has all walls");
}

#[test]
fn hostile_guests_are_stopped_in_a_strict_jail_too() {
    if env::var_os(FOLDER).is_some() {
        // This is the inner process: all others are its tests, and the jail is there.
        let error = File::open("/").expect_err("out of reach");
        return assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env::current_exe().expect("a program"))
        .env(FOLDER, folder.path())
        .env("TMPDIR", folder.path())
        // Those that look at the sources, that measure paces, which the outer run does, and that
        // make pipes, which the agent does for an executor.
        .args(["--skip", "table::", "--skip", "pace::", "--skip", "streams::"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let passed = said.split(" passed").next().and_then(|text| text.rsplit(' ').next());
    let passed: usize = passed.and_then(|count| count.parse().ok()).expect("a count");
    assert!(passed > 40, "{said}");
}
