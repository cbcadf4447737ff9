//! What is wrong with a file, and where.

use crate::words;
use std::{error::Error, fmt, ops::Range, path::Path};

/// A fault of a file that a person wrote, told as compilers do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileFault {
    text: String,
}

impl FileFault {
    /// A fault at some bytes of a file's text; at none in particular if the range is empty.
    pub(crate) fn at(path: &Path, text: &str, span: Option<Range<usize>>, why: &str) -> Self {
        let file = words::shown(path);
        let Some(span) = span.filter(|span| span.start <= text.len()) else {
            return Self { text: format!("{file}: {why}") };
        };
        let before = &text[..text.floor_char_boundary(span.start)];
        let line = before.matches('\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before[begin..].chars().count() + 1;
        let shown = text[begin..].lines().next().unwrap_or_default();
        let marks = "^".repeat(span.len().clamp(1, shown.len().max(1)));
        let marks: String = marks.chars().take(shown.chars().count().max(1)).collect();
        let pad = " ".repeat(column - 1);
        Self { text: format!("{file}:{line}:{column}: {why}\n  | {shown}\n  | {pad}{marks}") }
    }

    /// What the reader of TOML says.
    pub(crate) fn of_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        Self::at(path, text, error.span(), error.message())
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for FileFault {}
