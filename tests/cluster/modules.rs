//! Modules before they run: stored, listed, looked at, compiled for trial.

use crate::kit::{Cluster, Home, module};

#[test]
fn a_stored_module_is_listed_and_runs_by_its_digest() {
    let cluster = Cluster::start(&["cpus:1;mem:512"]);
    let (home, master) = (&cluster.home, cluster.address.as_str());
    let hello = module("hello");
    let hello = hello.to_str().unwrap();
    let words = ["module", "push", "--master", master, hello];
    let digest = home.output(words).expect_code(0).stdout.trim().to_owned();

    let listed = cluster.view("module list");
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(
        (&listed[0]["digest"], &listed[0]["kind"]),
        (&digest.as_str().into(), &"module".into())
    );
    assert_eq!(listed[0]["bytes"], std::fs::metadata(hello).unwrap().len());

    // It names its task, whose id is another each time.
    for module in [hello, &digest] {
        let said = home.output(["run", "--master", master, module]).expect_code(0).stdout;
        assert!(said.starts_with("Hello from task "), "{said}");
    }

    // What a task reads is stored too, and is no module.
    std::fs::write(home.path("input"), "no module").unwrap();
    let words = ["run", "--master", master, "--stdin", "input", &digest];
    home.output(words).expect_code(0);
    assert_eq!(cluster.view("module list"), listed);

    let inspected = home.output(["module", "inspect", "--master", master, "-o", "json", &digest]);
    let inspected = inspected.expect_code(0).json();
    assert_eq!(
        (&inspected["digest"], &inspected["bytes"]),
        (&listed[0]["digest"], &listed[0]["bytes"])
    );
}

#[test]
fn a_module_is_looked_at_and_compiled_for_trial_without_a_cluster() {
    let home = Home::new();
    let hello = module("hello");
    let hello = hello.to_str().unwrap();
    let inspected = home.output(["module", "inspect", hello]).expect_code(0).stdout;
    for line in ["kind       module", "needs      no grant", "function _start"] {
        assert!(inspected.contains(line), "{inspected}");
    }
    for options in [&["-o", "json"][..], &["-o", "json", "--deterministic"]] {
        let words = [&["module", "compile"], options, &[hello]].concat();
        let cost = home.output(words).expect_code(0).json();
        assert!(cost["artifact_bytes"].as_u64().unwrap() > 0, "{cost}");
    }
}

#[test]
fn a_module_that_cannot_run_is_told_by_both_and_a_digest_wants_a_master() {
    let home = Home::new();
    let text = r#"(module (import "env" "fork" (func)) (func (export "_start")))"#;
    std::fs::write(home.path("fork.wasm"), wat::parse_str(text).unwrap()).unwrap();
    let why = "it imports fork of env, which skep does not provide";
    let inspected = home.output(["module", "inspect", "fork.wasm"]).expect_code(0).stdout;
    assert!(inspected.contains(why), "{inspected}");
    let compiled = home.output(["module", "compile", "fork.wasm"]).expect_code(1);
    compiled.expect_words(&["fork.wasm: module rejected: it imports"]);

    let digest = format!("sha256:{}", "0".repeat(64));
    let run = home.output(["run", &digest]).expect_code(125);
    run.expect_words(&["say which master with --master, or name a file"]);
}
