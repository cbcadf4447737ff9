//! The form of source files, where a rule can be counted.
//!
//! rustfmt sees to the spaces and clippy to the idioms; this sees to what a reader needs: files and
//! functions of a size to be held in mind, a first sentence in each file, the project's own words.
//! It reads formatted code line by line and knows no more Rust than that takes.

mod proofs;

use crate::repo;
use anyhow::{Context, Result, bail};
use std::fs;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;

/// What marks unfinished work. Each is split, lest this file finds itself.
const MARKS: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("dbg", "!("),
    concat!("#[", "ignore"),
];

/// What says nothing about a thing, as the last word of its name, in lower case.
const EMPTY_WORDS: [&str; 6] = ["manager", "helper", "helpers", "util", "utils", "misc"];

/// What introduces a name.
const KEYWORDS: [&str; 8] = ["fn", "struct", "enum", "trait", "mod", "type", "const", "static"];

/// Checks every Rust file of the repository, and the tests that documents name; names all faults.
pub(crate) fn run() -> Result<()> {
    let faults = [faults()?, proofs::faults()?].concat();
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn faults() -> Result<Vec<String>> {
    let root = repo::root();
    let mut faults = Vec::new();
    for path in repo::files(&root, "rs")? {
        let name = path.display();
        let text =
            fs::read_to_string(root.join(&path)).with_context(|| format!("cannot read {name}"))?;
        let found = inspect(&text).into_iter();
        faults.extend(found.map(|(line, fault)| format!("{name}:{line}: {fault}")));
    }
    Ok(faults)
}

/// The faults of one file, each with its line.
fn inspect(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut faults = Vec::new();
    if !text.starts_with("//! ") {
        faults.push((1, "the first line does not say, after `//!`, what the file owns".to_owned()));
    }
    if lines.len() > FILE_LINES_MAX {
        let fault = format!("{} lines, more than {FILE_LINES_MAX}: split it", lines.len());
        faults.push((lines.len(), fault));
    }
    for (place, line) in lines.iter().enumerate() {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX {
            faults.push((place + 1, format!("{columns} columns, more than {LINE_COLUMNS_MAX}")));
        }
        if let Some(mark) = MARKS.iter().find(|mark| line.contains(**mark)) {
            faults.push((place + 1, format!("`{mark}` marks unfinished work")));
        }
        if let Some(fault) = declared_name(line).and_then(name_fault) {
            faults.push((place + 1, fault));
        }
        let length = function_length(&lines[place..]);
        if length > FUNCTION_LINES_MAX {
            let fault = format!("a function of {length} lines, more than {FUNCTION_LINES_MAX}");
            faults.push((place + 1, fault));
        }
    }
    faults
}

/// The name that a line declares.
fn declared_name(line: &str) -> Option<&str> {
    let mut words = code(line).split_whitespace().skip_while(|word| is_before_keyword(word));
    let keyword = words.next().filter(|word| KEYWORDS.contains(word))?;
    let name = words.find(|word| *word != "fn" || keyword != "const")?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn is_before_keyword(word: &str) -> bool {
    word.starts_with("pub") || ["async", "unsafe", "extern", "\"C\""].contains(&word)
}

/// Methods of traits that are made from WASI's own interfaces.
const NAMED_BY_WASI: [&str; 6] = [
    "get_flags",
    "get_type",
    "get_random_bytes",
    "get_random_u64",
    "get_insecure_random_bytes",
    "get_insecure_random_u64",
];

fn name_fault(name: &str) -> Option<String> {
    // `get_mut` and `get_or_...` are words of the standard library.
    let ours = !NAMED_BY_WASI.contains(&name);
    let getter = name.strip_prefix("get_").is_some_and(|of| of != "mut" && !of.starts_with("or_"));
    let getter = getter && ours;
    if getter {
        return Some(format!("`{name}`: a function is named by what it returns, without get_"));
    }
    let word = last_word(name);
    let empty = EMPTY_WORDS.contains(&word.as_str());
    empty.then(|| format!("`{name}`: {word:?} says nothing, name it by what it owns"))
}

/// The last word of a name in any case, in lower case.
fn last_word(name: &str) -> String {
    let start = name.rfind(|letter: char| letter == '_' || letter.is_uppercase());
    let word = &name[start.unwrap_or_default()..];
    word.trim_start_matches('_').to_lowercase()
}

/// Lines of the function that begins at the first line; 0 if none does.
fn function_length(lines: &[&str]) -> usize {
    let Some(first) = lines.first() else { return 0 };
    let starts = code(first)
        .split_whitespace()
        .find(|word| !is_before_keyword(word) && *word != "const")
        .is_some_and(|word| word == "fn");
    if !starts {
        return 0;
    }
    // In formatted code the body ends at a brace below the function's own first letter.
    let margin = &first[..first.len() - first.trim_start().len()];
    let ends = |line: &&str| {
        let rest = line.strip_prefix(margin).unwrap_or_default();
        rest.starts_with('}') || (!rest.starts_with(' ') && rest.ends_with([';', '}']))
    };
    lines.iter().position(ends).map_or(lines.len(), |place| place + 1)
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        assert_eq!(faults().expect("readable files"), Vec::<String>::new());
    }

    #[test]
    fn a_file_says_first_what_it_owns() {
        assert_eq!(inspect("//! The answer.\n"), []);
        assert_eq!(inspect("use std::fs;\n").len(), 1);
    }

    #[test]
    fn unfinished_work_is_found() {
        let text = format!("//! Words.\n// {}: write it\n", MARKS[0]);
        assert_eq!(inspect(&text), [(2, format!("`{}` marks unfinished work", MARKS[0]))]);
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        for line in ["pub(crate) struct TaskManager;", "mod utils;", "pub const fn get_x() {}"] {
            assert_eq!(inspect(&format!("//! Names.\n{line}\n")).len(), 1, "{line}");
        }
        for line in ["let get_x = 1;", "struct UtilUser;", "// fn get_x", "fn get_mut(&mut self);"]
        {
            assert_eq!(inspect(&format!("//! Names.\n{line}\n")), [], "{line}");
        }
    }

    #[test]
    fn a_function_is_as_long_as_its_lines() {
        let long = "    x();\n".repeat(69);
        let cases = [
            (format!("fn long() {{\n{long}}}\n"), 71),
            ("fn short() {}\nfn next() {\n}\n".to_owned(), 1),
            ("fn declared(&self);\nfn next() {\n}\n".to_owned(), 1),
            ("pub fn wide(\n    a: u8,\n) -> u8 {\n    a\n}\n".to_owned(), 5),
            ("let fnord = 1;\n".to_owned(), 0),
        ];
        for (text, length) in cases {
            assert_eq!(function_length(&text.lines().collect::<Vec<_>>()), length, "{text}");
        }
        let inner = long.replace("    ", "        ");
        let text = format!("//! Functions.\nimpl X {{\n    fn f() {{\n{inner}    }}\n}}\n");
        assert_eq!(inspect(&text).len(), 1);
    }

    #[test]
    fn long_lines_and_files_are_found() {
        let text = format!("//! Long.\n// {}\n", "x".repeat(LINE_COLUMNS_MAX));
        assert_eq!(inspect(&text), [(2, "103 columns, more than 100".to_owned())]);
        assert_eq!(inspect(&"//! Long.\n".repeat(FILE_LINES_MAX + 1)).len(), 1);
    }
}
