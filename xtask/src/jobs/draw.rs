//! Job graphs, drawn by chance, as files that `skep job` reads.

use crate::chaos::Chance;
use anyhow::{Context, Result};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The guest that all tasks run: sleeps, fails at its first attempt where it is told to, writes.
const GUEST: &str = "guests/modules/act.wasm";
/// Of so many graphs one has a task that fails as often as it is tried.
const FAILING: usize = 12;

/// A job, and what is to be seen of it.
pub(super) struct Graph {
    pub(super) name: String,
    /// The file of the job, or its text.
    source: Source,
    pub(super) tasks: u64,
    /// What its tasks take, one after the other.
    millis: u64,
    pub(super) must_fail: bool,
}

enum Source {
    Text(String),
    File(PathBuf),
}

/// Tasks of one kind.
struct Group {
    name: String,
    count: u64,
    has_output: bool,
}

impl Graph {
    /// One that somebody else wrote.
    pub(super) fn of_file(file: &Path) -> Self {
        let name = file.display().to_string();
        let source = Source::File(file.to_owned());
        Self { name, source, tasks: 0, millis: 0, must_fail: false }
    }

    pub(super) fn draw(chance: &mut Chance, name: &str) -> Self {
        let priority = pick(chance, &[0, 0, 1, -1]);
        let text = format!("name = \"{name}\"\npriority = {priority}\n");
        let mut graph = Self {
            name: name.to_owned(),
            source: Source::Text(text),
            tasks: 0,
            millis: 0,
            must_fail: false,
        };
        let mut groups: Vec<Group> = Vec::new();
        let count = pick(chance, &[1, 2, 2, 3, 4, 6]);
        while groups.len() < count {
            // What comes first by name need not come first.
            let letter = char::from(b'a' + u8::try_from(chance.below(26)).unwrap_or(0));
            let name = letter.to_string();
            if !groups.iter().any(|group| group.name == name) {
                let group = graph.draw_group(chance, name, &groups);
                groups.push(group);
            }
        }
        if once_in(chance, FAILING) {
            graph.must_fail = true;
            graph.add("\n[tasks.fails]\nmodule = \"fail.wasm\"\nargs = [\"3\"]\ncpus = 0.1\n");
        }
        graph
    }

    fn draw_group(&mut self, chance: &mut Chance, name: String, before: &[Group]) -> Group {
        let count = pick(chance, &[1, 1, 2, 3, 8, 8, 20, 40]);
        let longest = pick(chance, &[1, 10, 100, 300, 600]);
        let millis = if count > 10 { longest.min(100) } else { longest };
        let cpus = pick(chance, &["1", "1", "0.1", "0.5", "0.01", "0.25"]);
        let mem = pick(chance, &["64MiB", "16MiB", "128MiB", "32MiB"]);
        let each = if once_in(chance, 3) { pick(chance, &[1, 2, 7]) } else { 0 };
        let has_output = once_in(chance, 4);
        let output = if has_output { ", \"out\"" } else { "" };
        let mut text = format!(
            "\n[tasks.{name}]\nmodule = \"act.wasm\"\nargs = [\"{millis}\", \"{each}\"{output}]\n\
             count = {count}\ncpus = {cpus}\nmem = \"{mem}\"\n"
        );
        if each > 0 {
            text.push_str("retries = 1\n");
        }
        if has_output {
            text.push_str("outputs = [\"out\"]\n");
        }
        if count > 1 && once_in(chance, 6) {
            text.push_str("stragglers = { after = 2, least = \"1s\", done = 0.5 }\n");
        }
        let needs: Vec<&str> =
            before.iter().filter(|_| once_in(chance, 3)).map(|group| group.name.as_str()).collect();
        let _ = writeln!(text, "needs = {needs:?}");
        if let Some(from) = before.first().filter(|_| once_in(chance, 4)) {
            let _ = writeln!(text, "input = {:?}", from.name);
        }
        if let Some(from) = before.iter().find(|group| group.has_output && once_in(chance, 2)) {
            let is_one = from.count == 1 || from.count == count;
            let guest = if is_one { "in" } else { "in-{}" };
            let _ = writeln!(text, "inputs = [\"@{}/out::{guest}\"]", from.name);
        }
        self.add(&text);
        self.tasks += count;
        self.millis += millis * count * if each > 0 { 2 } else { 1 };
        Group { name, count, has_output }
    }

    fn add(&mut self, more: &str) {
        if let Source::Text(text) = &mut self.source {
            text.push_str(more);
        }
    }

    /// What its tasks take, one after the other.
    pub(super) const fn time(&self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// The job file.
    pub(super) fn file(&self, home: &Path) -> PathBuf {
        match &self.source {
            Source::Text(_) => home.join(format!("{}.toml", self.name)),
            Source::File(file) => file.clone(),
        }
    }

    /// Writes the file, and its modules beside it.
    pub(super) fn write(&self, home: &Path) -> Result<()> {
        let Source::Text(text) = &self.source else { return Ok(()) };
        fs::write(self.file(home), text)?;
        for (name, module) in [("act.wasm", GUEST), ("fail.wasm", "guests/modules/exit.wasm")] {
            let from = crate::repo::root().join(module);
            fs::copy(&from, home.join(name)).with_context(|| from.display().to_string())?;
        }
        Ok(())
    }
}

fn pick<T: Copy>(chance: &mut Chance, from: &[T]) -> T {
    from[chance.below(from.len())]
}

const fn once_in(chance: &mut Chance, times: usize) -> bool {
    chance.below(times) == 0
}
