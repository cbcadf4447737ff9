//! Names with `*` and `?` in them.

/// Whether a path stands for all that have such a name: it holds `*` or `?`.
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?'])
}

/// The parts of a path before the first that holds `*` or `?`, and those from there on; the first
/// is empty if all is behind.
pub fn split(path: &str) -> (&str, &str) {
    let Some(first) = path.find(['*', '?']) else { return (path, "") };
    path[..first].rfind('/').map_or(("", path), |slash| (&path[..slash], &path[slash + 1..]))
}

/// Whether a name, which is one part of a path, is as `pattern` says: `*` stands for any text, `?`
/// for any character. A dot at its beginning must be named.
pub fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut place) = (0, 0);
    // Where the last `*` stood, and what of the name it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while place < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == name[place] => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((stood, taken)) = star else { return false };
                star = Some((stood, taken + 1));
                (at, place) = (stood + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_any_character() {
        let right = [
            ("*", "a"),
            ("*.png", "a.png"),
            ("a*b*c", "aXbXbc"),
            ("?", "ü"),
            ("a?c", "abc"),
            ("**", ""),
            (".*", ".a"),
        ];
        for (pattern, name) in right {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.png", "a.jpg"), ("?", ""), ("a", "ab"), ("*", ".a"), ("", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        // As many stars as may be take no time beyond reason.
        assert!(!matches(&"*a".repeat(500), &"a".repeat(499)));
    }

    #[test]
    fn what_stands_before_the_first_sign_is_a_folder() {
        assert_eq!(split("a/b/*.png"), ("a/b", "*.png"));
        assert_eq!(split("a*/b"), ("", "a*/b"));
        assert_eq!(split("a/b"), ("a/b", ""));
        assert!(is_pattern("a/?") && !is_pattern("a/b"));
    }
}
