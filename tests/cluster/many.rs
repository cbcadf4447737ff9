//! Arrays: many tasks of one module.

use crate::kit::{Home, module};

#[test]
fn the_output_of_an_array_comes_in_the_order_of_its_tasks() {
    let ended = Home::new().run(&["--array", "3-12"], "echo", &["tile-{}"]).expect_code(0);
    let words =
        |line: &str| line.split_whitespace().find(|w| w.starts_with("tile-")).map(str::to_owned);
    let seen: Vec<_> = ended.stdout.lines().filter_map(words).collect();
    let expected: Vec<_> = (3..=12).map(|i| format!("tile-{i}")).collect();
    assert_eq!(seen, expected, "{ended:?}");
    ended.expect_words(&["10 of 10 tasks finished"]);
}

#[test]
fn the_index_reaches_the_guest_without_arguments() {
    let ended = Home::new().run(&["--count", "3"], "echo", &[]).expect_code(0);
    for index in 0..3 {
        let line = format!("SKEP_TASK_INDEX={index}");
        assert_eq!(ended.stdout.matches(&line).count(), 1, "{ended:?}");
    }
}

#[test]
fn each_line_of_a_file_is_a_task() {
    let home = Home::new();
    std::fs::write(home.path("lines"), "first\nsecond one\n\nthird\n").unwrap();
    let ended = home.run(&["--each-line", "lines"], "echo", &["<{}>"]).expect_code(0);
    for line in ["<first>", "<second one>", "<third>"] {
        assert_eq!(ended.stdout.matches(line).count(), 1, "{ended:?}");
    }
}

#[test]
fn a_failed_task_of_an_array_is_named_and_the_others_finish() {
    let home = Home::new();
    let ended = home.run(&["--array", "0-4"], "exit", &["{}"]).expect_code(1);
    ended.expect_words(&[
        "1 of 5 tasks finished",
        ".1 exited with code 1",
        ".4 exited with code 4",
    ]);
}

#[test]
fn a_thousand_tasks_finish() {
    let ended = Home::new().run(&["--count", "1000", "-o", "json"], "noop", &[]).expect_code(0);
    let document = ended.json();
    assert_eq!(document["outcomes"]["exited"], 1_000);
    assert_eq!(document["tasks"].as_array().unwrap().len(), 1_000);
}

#[test]
fn a_job_file_runs_where_there_is_no_cluster() {
    let home = Home::new();
    let (echo, exit) = (module("echo"), module("exit"));
    let job = format!(
        "name = \"graph\"\n\
         [tasks.first]\nmodule = {echo:?}\nargs = [\"{{}}\"]\ncount = 3\n\
         [tasks.second]\nmodule = {exit:?}\nargs = [\"{{}}\"]\ncount = 2\nneeds = [\"first\"]\n\
         [tasks.third]\nmodule = {echo:?}\nneeds = [\"second\"]\n"
    );
    std::fs::write(home.path("graph.toml"), job).unwrap();
    let ended = home.output(["job", "run", "graph.toml", "-o", "json"]).expect_code(1);
    let failure = "graph-1.second.1: exited with code 1";
    let report = ended.expect_words(&[failure]).json();
    let counts = |of: &str| -> Vec<(&str, u64)> {
        let groups = report[0]["groups"].as_array().unwrap().iter();
        groups.map(|g| (g["group"].as_str().unwrap(), g[of].as_u64().unwrap())).collect()
    };
    assert_eq!(counts("done"), [("first", 3), ("second", 1), ("third", 0)]);
    assert_eq!(counts("failed"), [("first", 0), ("second", 1), ("third", 0)]);
    assert_eq!(report[0]["standing"], "failed");
}
