//! What is right in each case that the machine of `cargo xtask vm` tries.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;

/// Where the groups of the first cases are.
const UNIT: &str = "/sys/fs/cgroup/work.slice/skep.service";

/// What each case said, by its name.
struct Said<'a>(BTreeMap<&'a str, &'a str>);

/// Compares all cases; names each that is not as it should be.
pub(crate) fn check(said: &str) -> Result<()> {
    let said = Said::parsed(said);
    type Case = fn(&Said<'_>) -> Result<()>;
    let cases: [(&str, Case); 9] = [
        ("bare", |said| {
            said.bounded("bare", "memory", None, "all of this machine")?;
            said.bounded("bare", "cpus", Some("2"), "all of this machine")
        }),
        ("unit", |said| {
            said.bounded("unit", "memory", Some("1024 MiB"), &format!("{UNIT}/memory.max"))?;
            said.bounded("unit", "memory", Some("1024 MiB"), "an agent offers 512 MiB")?;
            said.bounded("unit", "cpus", Some("2"), "all of this machine")
        }),
        ("offers", |said| {
            let agents = said.json("offers")?;
            let resources = agents[0]["resources"].to_string();
            ensure!(resources.contains("512"), "it offers {resources}");
            Ok(())
        }),
        ("tasks", |said| said.all_ended_well("tasks")),
        ("high", |said| {
            said.bounded("high", "memory", Some("768 MiB"), &format!("{UNIT}/a/memory.high"))
        }),
        ("quota", |said| {
            let file = "/sys/fs/cgroup/work.slice/cpu.max";
            said.bounded("quota", "cpus", Some("1.5"), file)
        }),
        ("cpuset", |said| {
            let by = "the processors that this process may run on";
            said.bounded("cpuset", "cpus", Some("1"), by)
        }),
        ("container", |said| {
            let text = said.of("container")?;
            ensure!(text.lines().any(|line| line == "0::/"), "it is no container: {text}");
            let file = "/sys/fs/cgroup/memory.max";
            said.bounded("container", "memory", Some("600 MiB"), file)
        }),
        ("agent", |said| {
            said.all_ended_well("agent")?;
            let text = said.of("walls")?;
            // What it offers, a quarter and 256 MiB more.
            for line in ["skep-agent max", "executors 939524096", "oom_kill 0"] {
                ensure!(text.lines().any(|said| said == line), "no line `{line}`: {text}");
            }
            Ok(())
        }),
    ];
    let mut wrong = Vec::new();
    for (name, case) in &cases {
        match case(&said) {
            Ok(()) => println!("{name}: right"),
            Err(error) => {
                println!("{name}: {error:#}");
                wrong.push(*name);
            }
        }
    }
    let kernel = said.of("kernel").unwrap_or("an unknown kernel").trim();
    if !wrong.is_empty() {
        bail!("wrong on Linux {kernel}: {}", wrong.join(", "));
    }
    println!("control groups of version 2 on Linux {kernel}: {} cases, all right", cases.len());
    Ok(())
}

impl<'a> Said<'a> {
    fn parsed(text: &'a str) -> Self {
        let parts = text.split("@@ ").skip(1).filter_map(|part| part.split_once('\n'));
        Self(parts.collect())
    }

    fn of(&self, case: &str) -> Result<&'a str> {
        self.0.get(case).copied().context("the machine did not come to it: see --verbose")
    }

    /// The JSON document among what was said.
    fn json(&self, case: &str) -> Result<Value> {
        let text = self.of(case)?;
        let begin = text.find(['[', '{']).with_context(|| format!("it said: {text}"))?;
        let mut documents = serde_json::Deserializer::from_str(&text[begin..]).into_iter();
        documents.next().context("nothing")?.with_context(|| format!("it said: {text}"))
    }

    /// Checks what the doctor found of a kind, and that its note says this.
    fn bounded(&self, case: &str, what: &str, found: Option<&str>, note: &str) -> Result<()> {
        let findings = self.json(case)?;
        let all = findings.as_array().context("no list")?;
        let one = all.iter().find(|one| one["what"] == what).context("no such finding")?;
        ensure!(found.is_none_or(|found| one["found"] == found), "{one}");
        ensure!(one["note"].as_str().is_some_and(|said| said.contains(note)), "{one}");
        Ok(())
    }

    fn all_ended_well(&self, case: &str) -> Result<()> {
        let text = self.of(case)?;
        ensure!(text.lines().any(|line| line == "all ended well"), "it said: {text}");
        ensure!(!text.contains("oom_kill ") || text.contains("oom_kill 0"), "it said: {text}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_judged_by_what_was_said_under_its_name() {
        let said = Said::parsed(
            "boot noise\n@@ unit\n\
             [{\"what\": \"memory\", \"found\": \"1 MiB\", \"note\": \"by x\"}]\n\
             @@ tasks\nall ended well\noom_kill 1\n",
        );
        said.bounded("unit", "memory", Some("1 MiB"), "by x").expect("right");
        said.bounded("unit", "memory", Some("2 MiB"), "by x").expect_err("more");
        said.bounded("unit", "cpus", None, "").expect_err("nothing of them");
        said.all_ended_well("tasks").expect_err("one was ended by the kernel");
        said.of("other").expect_err("it did not come to it");
    }
}
