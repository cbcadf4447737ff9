//! The scenarios of `docs/allocation/`: what they print and draw lies beside them, and is so.
//!
//! `SKEP_GOLDEN=write cargo test -p skep-simulate` writes it anew.

use std::{env, fs, path::Path};

#[test]
fn what_the_documentation_shows_is_what_the_allocator_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/allocation");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the folder of scenarios") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).expect("a scenario");
        let lines = skep_simulate::simulate(&text).expect("a scenario that can be run");
        let printed: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let drawn = skep_simulate::plot(&text).expect("a scenario that can be drawn");
        for (extension, now) in [("jsonl", printed), ("svg", drawn)] {
            let beside = path.with_extension(extension);
            if env::var("SKEP_GOLDEN").is_ok_and(|mode| mode == "write") {
                fs::write(&beside, &now).expect("it can be written");
            }
            let known = fs::read_to_string(&beside).unwrap_or_default();
            assert!(known == now, "{} is not what comes out now", beside.display());
        }
    }
    assert!(count > 0, "there are no scenarios");
}
