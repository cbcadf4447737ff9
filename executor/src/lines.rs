//! Source lines for backtraces: a table of them behind the machine code of an artifact.
//!
//! A module's DWARF is an outsider's word, and what readers of it may be made to do has no good
//! bound: a small section can describe billions of ranges. So no executor ever reads it. The
//! compiler, a process that ends and that is limited in time and memory, runs the line programs
//! and writes what they say as a table; an executor looks a place up in it by halves, in as many
//! reads as the table's length has bits. Always holds: a module whose line programs are damaged
//! runs like any other, and its backtraces have as many lines as could be read; executors read
//! tables that our compiler wrote, under the artifact's seal. Deliberately absent: functions that
//! were inlined, variables, and components, whose backtraces have names alone.

use gimli::{AttributeValue, DebugLine, DebugLineOffset, EndianSlice, LittleEndian};
use std::{collections::HashMap, fs::File, io, os::unix::fs::FileExt as _};
use wasmparser::{Parser, Payload};

/// The largest section of line programs that is read: a reader needs up to a hundred bytes for one
/// of them, and the compiler may have some gigabytes. A debug build of a large interpreter has ten
/// mebibytes.
const SECTION_BYTES_MAX: usize = 16 << 20;
/// Lines in a table, of twelve bytes each, and files; beyond, places have no line.
const ROWS_MAX: usize = 1 << 20;
const FILES_MAX: usize = 1 << 16;
/// A file's name, of which the end says most.
const FILE_BYTES_MAX: usize = 100;
/// What is looked at of a name in the module.
const NAME_BYTES_MAX: usize = 4 << 10;
/// Wasm's addresses in DWARF.
const ADDRESS_BYTES: u8 = 4;

/// The first bytes of a table, and its whole header: they, and the numbers of rows and files.
const MAGIC: [u8; 8] = *b"skepline";
const HEADER_BYTES: usize = 16;
const ROW_BYTES: usize = 12;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Program<'a> = gimli::LineProgramHeader<Slice<'a>, usize>;

/// From this address of the module on, up to the next row, code is of this line; 0: of none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    address: u32,
    line: u32,
    file: u32,
}

impl Row {
    fn into_bytes(self) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        bytes[..4].copy_from_slice(&self.address.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.line.to_le_bytes());
        bytes[8..].copy_from_slice(&self.file.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; ROW_BYTES]) -> Self {
        let number = |at: usize| number(&bytes, at);
        Self { address: number(0), line: number(4), file: number(8) }
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The table of a module, to stand behind its artifact; empty if it tells no lines.
pub(crate) fn table(module: &[u8]) -> Vec<u8> {
    let sections = Sections::of(module);
    if sections.line.is_empty() || sections.line.len() > SECTION_BYTES_MAX {
        return Vec::new();
    }
    let mut table = Table::default();
    let programs = DebugLine::new(sections.line, LittleEndian);
    let mut offset = 0;
    while offset < sections.line.len() && table.rows.len() < ROWS_MAX {
        let program = programs.program(DebugLineOffset(offset), ADDRESS_BYTES, None, None);
        let Ok(program) = program else { break };
        let header = program.header();
        let length = usize::from(header.format().initial_length_size()) + header.unit_length();
        // What is damaged in the middle has been read up to there.
        let _ = table.read(program, &sections);
        offset = offset.saturating_add(length);
    }
    table.into_bytes()
}

/// The sections of a module that tell lines.
#[derive(Default)]
struct Sections<'a> {
    code_at: u64,
    code_bytes: u64,
    line: &'a [u8],
    strings: &'a [u8],
    line_strings: &'a [u8],
}

impl<'a> Sections<'a> {
    fn of(module: &'a [u8]) -> Self {
        let mut sections = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload {
                Ok(Payload::CodeSectionStart { range, .. }) => {
                    sections.code_at = range.start as u64;
                    sections.code_bytes = (range.end - range.start) as u64;
                }
                Ok(Payload::CustomSection(section)) => match section.name() {
                    ".debug_line" => sections.line = section.data(),
                    ".debug_str" => sections.strings = section.data(),
                    ".debug_line_str" => sections.line_strings = section.data(),
                    _ => {}
                },
                Ok(_) => {}
                Err(_) => break,
            }
        }
        sections
    }

    /// A name that stands in the line program itself or in a section of its own.
    fn text(&self, value: &AttributeValue<Slice<'a>, usize>) -> Option<String> {
        let bytes = match value {
            AttributeValue::String(bytes) => bytes.slice(),
            AttributeValue::DebugStrRef(at) => self.strings.get(at.0..)?,
            AttributeValue::DebugLineStrRef(at) => self.line_strings.get(at.0..)?,
            _ => return None,
        };
        let bytes = &bytes[..bytes.len().min(NAME_BYTES_MAX)];
        let text = bytes.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn file(&self, program: &Program<'a>, index: u64) -> Option<String> {
        let entry = program.file(index)?;
        let name = self.text(&entry.path_name())?;
        let folder = entry.directory(program).and_then(|folder| self.text(&folder));
        Some(shorten(&match folder {
            Some(folder) if !folder.is_empty() && !name.starts_with('/') => {
                format!("{folder}/{name}")
            }
            _ => name,
        }))
    }
}

/// A file's name without what says nothing: control characters, the digest of the compiler's own
/// sources, all but the end of a long path.
fn shorten(path: &str) -> String {
    let path: String = path.chars().filter(|c| !c.is_control()).collect();
    let library = path.strip_prefix("/rustc/").and_then(|rest| rest.split_once('/'));
    let path = library.map_or(path.as_str(), |(_, rest)| rest);
    let Some(over) = path.len().checked_sub(FILE_BYTES_MAX) else { return path.into() };
    let end = &path[path.ceil_char_boundary(over)..];
    format!("...{}", end.find('/').map_or(end, |slash| &end[slash..]))
}

/// A table in the making.
#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    files: Vec<String>,
    by_name: HashMap<String, u32>,
}

impl Table {
    /// Adds the rows of one line program.
    fn read<'a>(
        &mut self,
        program: gimli::IncompleteLineProgram<Slice<'a>, usize>,
        sections: &Sections<'a>,
    ) -> gimli::Result<()> {
        let (mut numbers, mut sequence) = (HashMap::new(), Vec::new());
        let mut rows = program.rows();
        while let Some((program, row)) = rows.next_row()? {
            if self.rows.len() + sequence.len() >= ROWS_MAX {
                break;
            }
            let file = *numbers
                .entry(row.file_index())
                .or_insert_with(|| self.number(sections.file(program, row.file_index())));
            let line = row.line().and_then(|line| u32::try_from(line.get()).ok());
            let (line, file) = match (line, file) {
                (Some(line), Some(file)) if !row.end_sequence() => (line, file),
                _ => (0, 0),
            };
            sequence.push((row.address(), line, file));
            if row.end_sequence() {
                self.add(&sequence, sections);
                sequence.clear();
            }
        }
        Ok(())
    }

    /// The number of a file, if there is room for it.
    fn number(&mut self, name: Option<String>) -> Option<u32> {
        let name = name?;
        if let Some(number) = self.by_name.get(&name) {
            return Some(*number);
        }
        let number = u32::try_from(self.files.len()).ok()?;
        if self.files.len() >= FILES_MAX {
            return None;
        }
        self.files.push(name.clone());
        self.by_name.insert(name, number);
        Some(number)
    }

    /// Adds a stretch of code. What a linker left out it moves to where no code is: to the start of
    /// the section, which is the count of its functions, or beyond its end.
    fn add(&mut self, sequence: &[(u64, u32, u32)], sections: &Sections<'_>) {
        let start = sequence.first().map_or(0, |row| row.0);
        let end = sequence.last().map_or(0, |row| row.0);
        if start == 0 || end > sections.code_bytes {
            return;
        }
        let mut before = None;
        for (address, line, file) in sequence {
            if before != Some((line, file)) {
                // A module is smaller than 4 GiB.
                let address = u32::try_from(sections.code_at + address).unwrap_or(u32::MAX);
                self.rows.push(Row { address, line: *line, file: *file });
            }
            before = Some((line, file));
        }
    }

    fn into_bytes(mut self) -> Vec<u8> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        // Of two at one address the later counts, and a line counts more than none.
        self.rows.sort_by_key(|row| (row.address, row.line != 0));
        let count = |len: usize| u32::try_from(len).expect("bounded above").to_le_bytes();
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&count(self.rows.len()));
        bytes.extend_from_slice(&count(self.files.len()));
        bytes.extend(self.rows.iter().flat_map(|row| row.into_bytes()));
        let mut end = 0;
        for file in &self.files {
            end += file.len();
            bytes.extend_from_slice(&count(end));
        }
        bytes.extend(self.files.iter().flat_map(|file| file.bytes()));
        bytes
    }
}

/// The table behind an artifact.
#[derive(Debug)]
pub(crate) struct Lines {
    artifact: File,
    /// Where its parts begin.
    rows_at: u64,
    ends_at: u64,
    names_at: u64,
    rows: u64,
    files: u64,
}

impl Lines {
    /// The table of an artifact whose machine code ends at `at`, if it has one.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn behind(artifact: &File, at: u64) -> io::Result<Option<Self>> {
        let mut header = [0; HEADER_BYTES];
        match artifact.read_exact_at(&mut header, at) {
            Ok(()) if header.starts_with(&MAGIC) => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            _ => return Ok(None),
        }
        let (rows, files) = (u64::from(number(&header, 8)), u64::from(number(&header, 12)));
        let rows_at = at + HEADER_BYTES as u64;
        let ends_at = rows_at + rows * ROW_BYTES as u64;
        let names_at = ends_at + files * 4;
        let artifact = artifact.try_clone()?;
        Ok(Some(Self { artifact, rows_at, ends_at, names_at, rows, files }))
    }

    /// The file and line of an address of the module, if it is known and can be read.
    pub(crate) fn find(&self, address: usize) -> Option<(String, u32)> {
        let address = u32::try_from(address).ok()?;
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = low.midpoint(high);
            match self.row(middle)?.address <= address {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let row = self.row(low.checked_sub(1)?)?;
        if row.line == 0 || u64::from(row.file) >= self.files {
            return None;
        }
        let start = if row.file == 0 { 0 } else { self.end_of(row.file - 1)? };
        let length = usize::try_from(self.end_of(row.file)?.checked_sub(start)?).ok()?;
        // Three more for the dots in front of what was cut.
        let mut name = vec![0; length.min(FILE_BYTES_MAX + 3)];
        self.artifact.read_exact_at(&mut name, self.names_at + u64::from(start)).ok()?;
        Some((String::from_utf8_lossy(&name).into_owned(), row.line))
    }

    fn row(&self, number: u64) -> Option<Row> {
        let mut bytes = [0; ROW_BYTES];
        let at = self.rows_at + number * ROW_BYTES as u64;
        self.artifact.read_exact_at(&mut bytes, at).ok()?;
        Some(Row::from_bytes(bytes))
    }

    /// Where the name of a file ends.
    fn end_of(&self, file: u32) -> Option<u32> {
        let mut bytes = [0; 4];
        self.artifact.read_exact_at(&mut bytes, self.ends_at + u64::from(file) * 4).ok()?;
        Some(u32::from_le_bytes(bytes))
    }
}

#[cfg(test)]
#[path = "lines/tests.rs"]
mod tests;
