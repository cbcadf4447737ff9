//! What people write, and what they are told.

use super::{JOB_TO_BEGIN_WITH, JobPlan, schedule, service};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// A folder with modules of these names, and one file.
fn folder(modules: &[&str], text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    for module in modules {
        fs::write(folder.path().join(module), b"\0asm\x01\0\0\0").expect("written");
    }
    let path = folder.path().join("job.toml");
    fs::write(&path, text).expect("written");
    (folder, path)
}

/// The lines of the fault, without the folder.
fn fault(modules: &[&str], text: &str) -> Vec<String> {
    let (folder, path) = folder(modules, text);
    let fault = JobPlan::read(&path).expect_err("a fault").to_string();
    let fault = fault.replace(&format!("{}/", folder.path().display()), "");
    fault.lines().map(str::to_owned).collect()
}

#[test]
fn the_file_to_begin_with_is_a_job() {
    let (_folder, path) = folder(&["split.wasm", "work.wasm"], JOB_TO_BEGIN_WITH);
    let plan = JobPlan::read(&path).expect("a job");
    assert_eq!(plan.job.layers().expect("no circle"), [vec!["split"], vec!["work"]]);
    assert_eq!(plan.job.groups["work"].count, 8);
    assert_eq!(plan.modules.len(), 1, "both are the same bytes");
}

#[test]
fn a_fault_is_told_with_its_line() {
    let task = "name = \"j\"\n[tasks.a]\nmodule = \"a.wasm\"\n";
    let unknown = fault(&["a.wasm"], &format!("{task}cpu = 1\n"));
    assert!(unknown[0].starts_with("job.toml:4:1: unknown field `cpu`"), "{unknown:?}");
    assert_eq!(unknown[1..], ["  | cpu = 1", "  | ^^^"]);
    let unit = fault(&["a.wasm"], &format!("{task}mem = \"64 bananas\"\n"));
    assert!(unit[0].starts_with("job.toml:4:7: "), "{unit:?}");
    let missing = fault(&[], task);
    assert!(missing[0].starts_with("job.toml:3:10: a.wasm: No such file"), "{missing:?}");
    let circle = fault(
        &["a.wasm"],
        &format!("{task}needs = [\"b\"]\n[tasks.b]\nmodule = \"a.wasm\"\nneeds = [\"a\"]\n"),
    );
    assert!(circle[0].contains("a circle, so that none of them can begin: a needs b needs a"));
    assert!(circle[0].starts_with("job.toml:4:9: a.needs: "), "{circle:?}");
    let unknown = fault(&["a.wasm"], &format!("{task}needs = [\"x\"]\n"));
    assert_eq!(unknown[0], "job.toml:4:9: a.needs: there is no group \"x\": there are a");
    let text = fault(&[], "name = \n");
    assert!(text[0].starts_with("job.toml:1:"), "{text:?}");
}

#[test]
fn stragglers_are_read_and_their_faults_have_the_line() {
    let task = "name = \"j\"\n[tasks.a]\nmodule = \"a.wasm\"\ncount = 4\n";
    let read = |stragglers: &str| {
        let (_folder, path) = folder(&["a.wasm"], &format!("{task}stragglers = {stragglers}\n"));
        JobPlan::read(&path).expect("a job").job.groups["a"].stragglers.expect("stragglers")
    };
    assert_eq!(read("{ after = 2 }"), read("{ after = 2.0, least = \"10s\", done = 0.75 }"));
    let told = |stragglers: &str| fault(&["a.wasm"], &format!("{task}stragglers = {stragglers}\n"));
    let number = told("{ after = 1.2345 }");
    assert_eq!(number[0], "job.toml:5:24: a number with at most three decimals, such as 1.5");
    let share = told("{ after = 2, done = 1 }");
    assert!(share[0].starts_with("job.toml:5:14: a.stragglers: done: 1: the share"), "{share:?}");
    let time = told("{ after = 2, least = \"10\" }");
    assert!(time[0].starts_with("job.toml:5:35: \"10\" is no time"), "{time:?}");
    let missing = told("{ least = \"10s\" }");
    assert!(missing[0].contains("missing field `after`"), "{missing:?}");
    let unknown = told("{ after = 2, most = 1 }");
    assert!(unknown[0].starts_with("job.toml:5:27: unknown field `most`"), "{unknown:?}");
}

#[test]
fn a_module_must_be_one() {
    let (folder, path) = folder(&[], "name = \"j\"\n[tasks.a]\nmodule = \"a.txt\"\n");
    fs::write(folder.path().join("a.txt"), "hello").expect("written");
    let fault = JobPlan::read(&path).expect_err("no module").to_string();
    assert!(fault.contains("is no WebAssembly file: compile it first"), "{fault}");
}

#[test]
fn services_and_schedules_are_read_and_their_faults_have_lines_too() {
    let text = "name = \"web\"\ncopies = 3\nspread = \"zone\"\n[work]\nmodule = \"a.wasm\"\n";
    let (_folder, path) = folder(&["a.wasm"], text);
    let (spec, modules) = service(&path).expect("a service");
    assert_eq!((spec.copies, spec.spread.as_str(), modules.len()), (3, "zone", 1));
    let (_folder, path) = folder(&["a.wasm"], &format!("{text}count = 2\n"));
    let why = service(&path).expect_err("not here").to_string();
    assert!(why.contains("count, needs, input, retries and stragglers are for jobs only"), "{why}");

    let text = "name = \"b\"\nschedule = \"0 3 * *\"\n[work]\nmodule = \"a.wasm\"\n";
    let (_folder, path) = folder(&["a.wasm"], text);
    let why = schedule(&path).expect_err("four fields").to_string();
    assert!(why.contains("job.toml:2:1: schedule: \"0 3 * *\""), "{why}");
    let (_folder, path) = folder(&["a.wasm"], &text.replace("* *\"", "* * *\""));
    schedule(&path).expect("a schedule");
}

#[test]
fn inputs_are_files_of_this_machine_and_what_other_groups_leave() {
    let text = "name = \"j\"\n[tasks.a]\nmodule = \"a.wasm\"\ninputs = [\"a.wasm\", \"a.*::x\"]\n\
                outputs = [\"out\"]\n[tasks.b]\nmodule = \"a.wasm\"\ncount = 2\n\
                inputs = [\"@a/out::in/{}\", \"@a/out\"]\n";
    let (folder, path) = folder(&["a.wasm"], text);
    let plan = JobPlan::read(&path).expect("a job");
    let guests = |group: &str| -> Vec<String> {
        plan.job.groups[group].inputs.iter().map(|input| input.guest.clone()).collect()
    };
    assert_eq!(
        (guests("a"), guests("b")),
        (vec!["a.wasm".to_owned(), "x".to_owned()], vec!["in/{}".to_owned(), "out".to_owned()],)
    );
    let files: Vec<_> = plan.files.values().collect();
    let of = |name: &str| folder.path().join(name);
    assert!(files.contains(&&of("a.wasm")) && files.contains(&&of("a.*")), "{files:?}");
    assert_eq!(plan.job.layers().expect("no circle"), [vec!["a"], vec!["b"]]);
}

#[test]
fn a_fault_of_files_is_told_with_its_line() {
    let task = "name = \"j\"\n[tasks.a]\nmodule = \"a.wasm\"\n";
    let told = |line: &str| fault(&["a.wasm"], &format!("{task}{line}\n"));
    let missing = told("inputs = [\"a.wasm\", \"b.csv\"]");
    assert!(missing[0].starts_with("job.toml:4:21: b.csv: No such file"), "{missing:?}");
    let group = told("inputs = [\"@b/out\"]");
    assert!(group[0].starts_with("job.toml:4:10: a.inputs: there is no group \"b\""), "{group:?}");
    let form = told("inputs = [\"@b\"]");
    assert!(form[0].ends_with("write @GROUP/OUTPUT or @GROUP/OUTPUT::GUEST"), "{form:?}");
    let path = told("outputs = [\"/out\"]");
    assert!(path[0].starts_with("job.toml:4:11: a.outputs: \"/out\" is absolute"), "{path:?}");
    let circle = told("inputs = [\"@a/out\"]\noutputs = [\"out\"]");
    assert!(circle[0].contains("a circle"), "{circle:?}");
}
