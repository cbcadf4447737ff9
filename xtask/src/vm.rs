//! skep in control groups of version 2, on a real kernel: a machine that QEMU makes of Debian's
//! packages, for hosts that have version 1 only.
//!
//! The machine has a root file system in memory: busybox, `skep` with its libraries, one guest, and
//! `vm/init.sh`, which makes the groups and says under the name of each case what it saw. What is
//! right is said here. Needs, on Debian: `qemu-system-x86`, `cpio`, `binutils`, and apt for the
//! packages that are unpacked. Deliberately absent: a part in CI, which cannot rely on all that.

mod cases;

use crate::repo::{self, cargo, command, output, run as run_command};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// The kernel's metapackage, and what else the machine is made of.
const KERNEL: &str = "linux-image-cloud-amd64";
const BUSYBOX: &str = "busybox-static";
const INIT: &str = include_str!("vm/init.sh");
/// It takes two minutes on a calm host: its processors are emulated, for KVM is not everywhere.
const TIME_MAX: Duration = Duration::from_secs(1_800);
const MEMORY: &str = "4096";

/// How to try it.
#[derive(Args)]
pub(crate) struct Order {
    /// The binary to try; built if it is not given
    #[arg(long)]
    skep: Option<PathBuf>,
    /// Show all that the machine says
    #[arg(long)]
    verbose: bool,
}

/// Makes the machine, runs it, and compares what it says with what is right.
pub(crate) fn run(order: &Order) -> Result<()> {
    let skep = match &order.skep {
        Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
        None => built()?,
    };
    let folder = repo::root().join("target/vm");
    let kernel = kernel(&folder)?;
    let tree = folder.join("tree");
    plant(&tree, &folder.join("packages"), &skep)?;
    let image = folder.join("image.gz");
    let pack = "find . | cpio --quiet --create --format newc | gzip -1 > ../image.gz";
    run_command(Command::new("sh").args(["-c", pack]).current_dir(&tree))?;
    let said = boot(&kernel, &image)?;
    if order.verbose {
        println!("{said}");
    }
    cases::check(&said)
}

fn built() -> Result<PathBuf> {
    run_command(&mut cargo("build --locked --package skep"))?;
    let metadata = output(&mut cargo("metadata --no-deps --locked --format-version 1"))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let target = metadata["target_directory"].as_str().context("cargo names no target folder")?;
    Ok(Path::new(target).join("debug/skep"))
}

/// Debian's kernel, and the other packages, unpacked below `packages`.
fn kernel(folder: &Path) -> Result<PathBuf> {
    let packages = folder.join("packages");
    if let Some(kernel) = found(&packages) {
        return Ok(kernel);
    }
    fs::create_dir_all(&packages)?;
    let depends = output(&mut command("apt-cache", &["depends", "--important", KERNEL]))?;
    let image = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let image = image.with_context(|| format!("apt knows no {KERNEL}: run apt-get update"))?;
    let mut download = Command::new("apt-get");
    run_command(download.args(["download", image, BUSYBOX]).current_dir(folder))?;
    for package in repo::files(folder, "deb")? {
        let package = folder.join(package);
        run_command(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&packages))?;
    }
    found(&packages).context("the kernel's package has no boot/vmlinuz-*")
}

fn found(packages: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(packages.join("boot")).ok()?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz")))
}

/// Makes the machine's root file system.
fn plant(tree: &Path, packages: &Path, skep: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree)?;
    }
    for folder in ["bin", "proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(tree.join(folder))?;
    }
    fs::copy(packages.join("bin/busybox"), tree.join("bin/busybox"))
        .context("the package of busybox has no bin/busybox")?;
    let mut strip = Command::new("strip");
    run_command(strip.arg("--strip-all").arg("-o").arg(tree.join("bin/skep")).arg(skep))?;
    // Busybox makes no name space of control groups, and would take its own for the other.
    let unshare = Path::new("/usr/bin/unshare");
    fs::copy(unshare, tree.join("unshare")).context("there is no unshare of util-linux")?;
    for program in [skep, unshare] {
        plant_libraries(tree, program)?;
    }
    let guest = repo::root().join("tests/guests/hold_memory.wat");
    fs::write(tree.join("hold.wasm"), wat::parse_file(guest)?)?;
    let init = tree.join("init");
    fs::write(&init, INIT)?;
    Ok(fs::set_permissions(init, fs::Permissions::from_mode(0o755))?)
}

/// Lays the libraries of a program where it looks for them.
fn plant_libraries(tree: &Path, program: &Path) -> Result<()> {
    let listed = output(Command::new("ldd").arg(program))?;
    for path in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let place = tree.join(path.trim_start_matches('/'));
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(path, place).with_context(|| path.to_owned())?;
    }
    Ok(())
}

/// Runs the machine to its end; gives what it said on its serial line.
fn boot(kernel: &Path, image: &Path) -> Result<String> {
    let mut machine = Command::new("timeout");
    machine.arg(TIME_MAX.as_secs().to_string()).arg("qemu-system-x86_64");
    machine.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", MEMORY]);
    machine.arg("-kernel").arg(kernel).arg("-initrd").arg(image);
    machine.args(["-append", "console=ttyS0 quiet loglevel=0 panic=-1"]);
    machine.args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"]);
    let ended = machine.stdin(Stdio::null()).output().context("no QEMU: is it installed?")?;
    let said = String::from_utf8_lossy(&ended.stdout).replace('\r', "");
    if !ended.status.success() {
        let why = String::from_utf8_lossy(&ended.stderr);
        bail!("the machine did not end well ({}): {why}\n{said}", ended.status);
    }
    Ok(said)
}
