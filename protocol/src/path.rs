//! Paths in one canonical form, and the patterns of policy. Anything else is refused, never repaired (V1).

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{PATH_LEN, PATH_SEGMENTS};

mod pattern;

pub use pattern::{Attribute, AttributeError, Attributes, NoAttributes, Pattern};

/// A canonical path: 1 to [`PATH_SEGMENTS`] segments joined by single `/`, no leading or trailing `/`, at most
/// [`PATH_LEN`] bytes. A segment is one or more of `A-Z a-z 0-9 - _ . ~`, and neither begins nor ends with a
/// dot. Case matters. Bytes are compared, nothing is ever normalised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path(Box<str>);

/// Why a text is not a canonical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A segment is empty: a doubled, leading or trailing slash.
    #[error("a path has no empty segments: no leading, trailing or doubled '/'")]
    EmptySegment,
    /// A segment has another character, or begins or ends with a dot.
    #[error("a path segment is made of A-Z a-z 0-9 - _ . ~ and neither begins nor ends with a dot")]
    Segment,
    /// Beyond a limit.
    #[error("a path has at most 512 bytes and 32 segments")]
    TooLong,
}

impl Path {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this path lies strictly below `other`.
    #[must_use]
    pub fn is_below(&self, other: &Path) -> bool {
        self.0.strip_prefix(&*other.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.len() > PATH_LEN || text.split('/').count() > PATH_SEGMENTS {
            return Err(PathError::TooLong);
        }
        text.split('/').try_for_each(check_segment)?;
        Ok(Self(text.into()))
    }
}

fn check_segment(segment: &str) -> Result<(), PathError> {
    if segment.is_empty() {
        return Err(PathError::EmptySegment);
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let dotted = segment.starts_with('.') || segment.ends_with('.');
    if dotted || !segment.bytes().all(allowed) { Err(PathError::Segment) } else { Ok(()) }
}

impl TryFrom<String> for Path {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        text.parse()
    }
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.0.into()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_every_other_spelling_is_refused() {
        assert!("kv/billing/db".parse::<Path>().is_ok());
        for (text, error) in [
            ("", PathError::EmptySegment),
            ("/kv", PathError::EmptySegment),
            ("kv/", PathError::EmptySegment),
            ("kv//db", PathError::EmptySegment),
            ("kv/../db", PathError::Segment),
            ("kv/./db", PathError::Segment),
            ("kv/db.", PathError::Segment),
            ("kv/.db", PathError::Segment),
            ("kv/d b", PathError::Segment),
            ("kv/db\n", PathError::Segment),
            ("kv/db\0", PathError::Segment),
            ("kv/d%62", PathError::Segment),
            ("kv/d\u{0431}", PathError::Segment),
            ("kv\\db", PathError::Segment),
            ("kv/*", PathError::Segment),
        ] {
            assert_eq!(text.parse::<Path>(), Err(error), "{text:?}");
        }
        assert_eq!("a".repeat(PATH_LEN + 1).parse::<Path>(), Err(PathError::TooLong));
        assert_eq!(["a"; PATH_SEGMENTS + 1].join("/").parse::<Path>(), Err(PathError::TooLong));
    }

    /// A small generator (xorshift), so that the same spellings come every time.
    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn v1_of_a_million_spellings_only_the_canonical_one_is_the_path() {
        const PIECES: [&str; 16] = [
            "/", ".", "..", "//", "%2f", "%2e", "\\", " ", "\0", "\n", "*", "A", "a", "\u{2024}", "\u{ff0f}",
            "~",
        ];
        let canonical = "kv/app/database/password";
        let (path, pattern): (Path, Pattern) =
            (canonical.parse().unwrap(), "kv/app/database/*".parse().unwrap());
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let mut pick = |below: usize| (next(&mut state) % below as u64) as usize;
        let (mut parsed, mut refused) = (0u32, 0u32);
        for _ in 0..1_000_000 {
            let mut spelling = canonical.to_owned();
            for _ in 0..=pick(3) {
                let at = (0..=spelling.len())
                    .filter(|at| spelling.is_char_boundary(*at))
                    .nth(pick(20))
                    .unwrap_or(0);
                match pick(3) {
                    0 => spelling.insert_str(at, PIECES[pick(PIECES.len())]),
                    1 if at < spelling.len() => drop(spelling.remove(at)),
                    _ => {
                        spelling = spelling
                            .to_uppercase()
                            .chars()
                            .zip(spelling.chars())
                            .map(|(up, as_is)| if pick(9) == 0 { up } else { as_is })
                            .collect()
                    }
                }
            }
            match spelling.parse::<Path>() {
                // What parses is its own only spelling, and a grant sees exactly those bytes.
                Ok(other) => {
                    parsed += 1;
                    assert_eq!(other.as_str(), spelling);
                    assert_eq!(other == path, spelling == canonical);
                    let rest = spelling.strip_prefix("kv/app/database/");
                    assert_eq!(
                        pattern.matches(&other, &NoAttributes),
                        Ok(rest.is_some_and(|rest| !rest.is_empty())),
                        "{spelling:?}"
                    );
                }
                Err(_) => refused += 1,
            }
        }
        assert!(parsed > 100_000 && refused > 100_000, "{parsed} parsed, {refused} refused");
    }
}
