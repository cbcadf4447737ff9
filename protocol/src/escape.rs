//! Names that are not UTF-8, as text: each byte that is no part of a character becomes `\xE9`.
//!
//! The kernel's names are bytes, while WASI's and the wire's are text. Always holds: what is UTF-8
//! stays as it is; [`unescape`] finds the bytes of what [`escape`] had to change, and nothing else,
//! for which a backslash in such a name is escaped as well. Shells read the form in `$'...'`.

use std::{borrow::Cow, fmt::Write as _};

/// Bytes of one escaped byte.
const ESCAPE_BYTES: usize = 4;

/// A name as text.
#[must_use]
pub fn escape(name: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(name) {
        return text.into();
    }
    let mut text = String::with_capacity(name.len() + 2 * ESCAPE_BYTES);
    for chunk in name.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\x5C"));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text.into()
}

/// The bytes that a text stands for. None: it is no escaped name, and stands for itself.
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        let (before, escaped) = rest.split_at(at);
        name.extend_from_slice(before.as_bytes());
        let digits = escaped.get(2..ESCAPE_BYTES);
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) => {
                name.push(byte);
                rest = &escaped[ESCAPE_BYTES..];
            }
            None => {
                name.extend_from_slice(b"\\x");
                rest = &escaped[2..];
            }
        }
    }
    name.extend_from_slice(rest.as_bytes());
    // What the name would not be escaped to is a name of its own.
    (std::str::from_utf8(&name).is_err() && escape(&name) == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_character_is_escaped_and_found_again() {
        for (name, text) in [
            (&b"caf\xe9.txt"[..], "caf\\xE9.txt"),
            (b"\xff\xfe", "\\xFF\\xFE"),
            ("ü\u{301}".as_bytes(), "ü\u{301}"),
            (b"a\\xE9", "a\\xE9"),
            (b"\\x41\xff", "\\x5Cx41\\xFF"),
            (b"d/\xc3/\xa9", "d/\\xC3/\\xA9"),
        ] {
            assert_eq!(escape(name), text);
        }
        for name in [&b"caf\xe9.txt"[..], b"\xff\xfe", b"d/\xc3/\xa9", b"\\x41\xf0\x9f\x8ex"] {
            assert_eq!(unescape(&escape(name)).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_text_that_stands_for_itself_has_no_bytes_of_its_own() {
        for text in ["", "a", "é", "\\", "\\x", "\\xZ1", "a\\x41", "\\xe9", "\\xC3\\xA9", "\\x+9"]
        {
            assert_eq!(unescape(text), None, "{text}");
        }
    }
}
