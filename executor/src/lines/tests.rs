//! Tables of real line programs, and of damaged ones.

use super::*;
use std::io::Write as _;

/// A guest with debug information, and the text it is made of.
const MODULE: &[u8] = include_bytes!("../../../guests/modules/lines.wasm");
const TEXT: &str = include_str!("../../../guests/lines/src/main.rs");
const FILE: &str = "guests/lines/src/main.rs";

fn lines(table: &[u8]) -> Option<Lines> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"machine code").expect("written");
    file.write_all(table).expect("written");
    file.write_all(&[7; 32]).expect("a seal");
    Lines::behind(&file, 12).expect("readable")
}

/// All places of the module's code that are of this line of its text.
fn places(lines: &Lines, line: u32) -> usize {
    let wanted = Some((FILE.to_owned(), line));
    (0..MODULE.len()).filter(|address| lines.find(*address) == wanted).count()
}

fn line_of(text: &str) -> u32 {
    let place = TEXT.lines().position(|line| line.contains(text)).expect("it is there");
    u32::try_from(place + 1).expect("a short text")
}

#[test]
fn code_is_found_by_its_place_in_the_module() {
    let lines = lines(&table(MODULE)).expect("a table");
    for text in ["middle(black_box(depth) + 1)", "inner(black_box(depth) + 1)", "panic!"] {
        assert!(places(&lines, line_of(text)) > 0, "no code is of {text}");
    }
    assert_eq!(places(&lines, line_of("use core::hint")), 0);
    assert_eq!(lines.find(0), None);
    assert_eq!(lines.find(MODULE.len()), None);
    assert_eq!(lines.find(usize::MAX), None);
}

#[test]
fn a_module_without_line_programs_has_no_table() {
    let plain = wat::parse_str("(module (func (export \"_start\")))").expect("a module");
    assert_eq!(table(&plain), Vec::<u8>::new());
    assert!(lines(&[]).is_none());
    assert_eq!(table(b"no module"), Vec::<u8>::new());
}

#[test]
fn line_programs_that_are_damaged_anywhere_are_read_as_far_as_they_can_be() {
    let programs = Sections::of(MODULE).line;
    let at = programs.as_ptr() as usize - MODULE.as_ptr() as usize;
    for place in (at..at + programs.len()).step_by(3) {
        let mut damaged = MODULE.to_vec();
        damaged[place] ^= 0xff;
        let table = table(&damaged);
        assert!(table.len() < 4 * MODULE.len(), "{} bytes", table.len());
        if let Some(lines) = lines(&table) {
            let _ = lines.find(at);
        }
    }
}

#[test]
fn a_table_that_is_cut_gives_no_line_and_no_more() {
    let table = table(MODULE);
    for length in (0..table.len()).step_by(7) {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&table[..length]).expect("written");
        if let Some(lines) = Lines::behind(&file, 0).expect("readable") {
            let _ = lines.find(400);
        }
    }
}

#[test]
fn what_says_nothing_in_a_path_is_left_out() {
    let library = format!("/rustc/{}/library/core/src/option.rs", "5".repeat(40));
    assert_eq!(shorten(&library), "library/core/src/option.rs");
    assert_eq!(shorten("src/main.rs"), "src/main.rs");
    assert_eq!(shorten("a\nb\u{1b}[2J.rs"), "ab[2J.rs");
    let long = format!("/{}/src/main.rs", "x/".repeat(90));
    let short = shorten(&long);
    assert!(short.len() <= FILE_BYTES_MAX + 3, "{short}");
    assert!(short.starts_with(".../x/") && short.ends_with("/src/main.rs"), "{short}");
}
