//! The patterns of policy: paths with wildcards and with attributes of the identity that asks.

use core::fmt;
use core::str::FromStr;

use super::{Path, PathError, check_segment};
use crate::limits::{PATH_LEN, PATH_SEGMENTS};

/// A pattern. Each segment is a name, `+` for any one segment, or `{attribute}` for what the identity shows; a last
/// segment `*` stands for one or more segments of any kind. Whole segments are compared, byte by byte (V12).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    segments: Box<[Segment]>,
    /// Whether `*` follows.
    below: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    Any,
    Attribute(Attribute),
    Name(Box<str>),
}

/// What a pattern may take from the identity that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// What was measured, in lower-case hexadecimal: the launch digest, or the digest of the quoted PCRs.
    Measurement,
    /// The platform, in lower-case hexadecimal: the chip id, or SHA-256 of the key that an anchor vouches for.
    Platform,
    /// The role.
    Role,
}

impl Attribute {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Measurement, "{measurement}"), (Self::Platform, "{platform}"), (Self::Role, "{role}")];

    fn text(self) -> &'static str {
        Self::ALL.iter().find(|(attribute, _)| *attribute == self).map_or("", |(_, text)| text)
    }
}

/// The attributes of an identity.
pub trait Attributes {
    /// Its value, if there is one.
    fn value(&self, attribute: Attribute) -> Option<String>;
}

/// An identity without attributes: no pattern that asks for one matches.
#[derive(Clone, Copy, Debug)]
pub struct NoAttributes;

impl Attributes for NoAttributes {
    fn value(&self, _attribute: Attribute) -> Option<String> {
        None
    }
}

/// A pattern asks for an attribute that the identity does not have, or whose value is no single segment: one with a
/// separator or a wildcard could reach further than its author meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identity has no usable value for {}", .0.text())]
pub struct AttributeError(pub Attribute);

impl Pattern {
    /// Whether the pattern covers a path, for an identity.
    ///
    /// # Errors
    /// [`AttributeError`]: an allow rule then allows nothing, and a deny rule denies everything.
    pub fn matches(&self, path: &Path, of: &dyn Attributes) -> Result<bool, AttributeError> {
        let (own, given) = (self.segments.len(), path.as_str().split('/').count());
        let fits = if self.below { given > own } else { given == own };
        Ok(fits && self.leads(path, of)?)
    }

    /// Whether everything below `prefix` is covered, for an identity.
    ///
    /// # Errors
    /// As [`Self::matches`].
    pub fn covers_below(&self, prefix: &Path, of: &dyn Attributes) -> Result<bool, AttributeError> {
        let fits = self.below && prefix.as_str().split('/').count() >= self.segments.len();
        Ok(fits && self.leads(prefix, of)?)
    }

    /// The attributes that it asks for.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Attribute(attribute) => Some(*attribute),
            Segment::Any | Segment::Name(_) => None,
        })
    }

    /// Whether some path matches both, whoever asks. An attribute may have any value.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let (short, long) =
            if self.segments.len() <= other.segments.len() { (self, other) } else { (other, self) };
        // Of equal length, one that goes below has no path as short as the other's.
        let equal = short.segments.len() == long.segments.len();
        let lengths = if equal { short.below == long.below } else { short.below };
        let names = short.segments.iter().zip(&long.segments).all(|pair| match pair {
            (Segment::Name(one), Segment::Name(other)) => one == other,
            (Segment::Any | Segment::Attribute(_), _) | (_, Segment::Any | Segment::Attribute(_)) => true,
        });
        lengths && names
    }

    /// Whether every path that `other` matches is matched by this one, too, whoever asks.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (own, given) = (self.segments.len(), other.segments.len());
        let lengths = match (self.below, other.below) {
            (true, true) => own <= given,
            (true, false) => own < given,
            (false, true) => false,
            (false, false) => own == given,
        };
        let leads = self.segments.iter().zip(&other.segments).all(|(own, given)| match own {
            Segment::Any => true,
            Segment::Attribute(_) | Segment::Name(_) => own == given,
        });
        lengths && leads
    }

    /// The first segment, if it is a name: where the engine is mounted.
    #[must_use]
    pub fn mount(&self) -> Option<&str> {
        match self.segments.first() {
            Some(Segment::Name(name)) => Some(name),
            Some(Segment::Any | Segment::Attribute(_)) | None => None,
        }
    }

    /// Whether the path's first segments are those of the pattern.
    fn leads(&self, path: &Path, of: &dyn Attributes) -> Result<bool, AttributeError> {
        // Every attribute must have a value, whatever the other segments say: an answer that depends on where a
        // mismatch stands would hide a rule that cannot hold.
        let mut leads = true;
        for (segment, given) in self.segments.iter().zip(path.as_str().split('/')) {
            leads &= match segment {
                Segment::Any => true,
                Segment::Name(name) => **name == *given,
                Segment::Attribute(attribute) => {
                    let value = of.value(*attribute).filter(|value| check_segment(value).is_ok());
                    value.ok_or(AttributeError(*attribute))? == given
                }
            };
        }
        Ok(leads)
    }
}

impl FromStr for Pattern {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.len() > PATH_LEN || text.split('/').count() > PATH_SEGMENTS {
            return Err(PathError::TooLong);
        }
        let (names, below) = match text.strip_suffix("/*") {
            Some(names) => (names, true),
            None => (text, false),
        };
        let segments = names.split('/').map(segment).collect::<Result<_, _>>()?;
        Ok(Self { segments, below })
    }
}

fn segment(text: &str) -> Result<Segment, PathError> {
    if text == "+" {
        return Ok(Segment::Any);
    }
    if let Some((attribute, _)) = Attribute::ALL.iter().find(|(_, known)| *known == text) {
        return Ok(Segment::Attribute(*attribute));
    }
    check_segment(text).map(|()| Segment::Name(text.into()))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            let slash = if index == 0 { "" } else { "/" };
            let text = match segment {
                Segment::Any => "+",
                Segment::Attribute(attribute) => attribute.text(),
                Segment::Name(name) => name,
            };
            write!(f, "{slash}{text}")?;
        }
        f.write_str(if self.below { "/*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Of(&'static str);

    impl Attributes for Of {
        fn value(&self, attribute: Attribute) -> Option<String> {
            (attribute == Attribute::Role).then(|| self.0.to_owned())
        }
    }

    fn matches(pattern: &str, path: &str, of: &dyn Attributes) -> Result<bool, AttributeError> {
        pattern.parse::<Pattern>().unwrap().matches(&path.parse().unwrap(), of)
    }

    #[test]
    fn v12_a_pattern_matches_whole_segments_only() {
        for path in ["kv/app/x", "kv/app/x/y"] {
            assert_eq!(matches("kv/app/*", path, &NoAttributes), Ok(true), "{path}");
        }
        assert_eq!(matches("kv/app", "kv/app", &NoAttributes), Ok(true));
        for path in ["kv/app", "kv/apple/x", "kv/ap/x", "KV/app/x", "kv/APP/x", "x/kv/app/x"] {
            assert_eq!(matches("kv/app/*", path, &NoAttributes), Ok(false), "{path}");
        }
        for path in ["kv/apps", "kv/app/x", "kv/ap", "kv/App"] {
            assert_eq!(matches("kv/app", path, &NoAttributes), Ok(false), "{path}");
        }
        for text in
            ["*", "/*", "kv/*/x", "kv/a*", "kv/**", "kv/*/*", "kv/a+", "kv/{}", "kv/{Role}", "kv/{role}x"]
        {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn v12_a_plus_is_exactly_one_segment() {
        for (path, expected) in [
            ("kv/a/db", true),
            ("kv/db", false),
            ("kv/a/b/db", false),
            ("kv/a/dbx", false),
            ("kv/a/b", false),
        ] {
            assert_eq!(matches("kv/+/db", path, &NoAttributes), Ok(expected), "{path}");
        }
        assert_eq!(matches("kv/+/*", "kv/a", &NoAttributes), Ok(false));
        assert_eq!(matches("kv/+/*", "kv/a/b", &NoAttributes), Ok(true));
    }

    #[test]
    fn v12_an_attribute_with_a_separator_or_a_wildcard_matches_nothing() {
        assert_eq!(matches("kv/{role}/*", "kv/web/x", &Of("web")), Ok(true));
        assert_eq!(matches("kv/{role}/*", "kv/webx/x", &Of("web")), Ok(false));
        for value in ["", "web/x", "*", "+", "web*", "..", "web.", "we b", "web\n"] {
            assert_eq!(
                matches("kv/{role}/*", "kv/web/x", &Of(value)),
                Err(AttributeError(Attribute::Role)),
                "{value:?}"
            );
        }
        assert_eq!(matches("kv/{platform}", "kv/web", &Of("web")), Err(AttributeError(Attribute::Platform)));
    }

    #[test]
    fn a_list_is_covered_only_if_all_below_is() {
        let covers = |pattern: &str, prefix: &str| {
            pattern.parse::<Pattern>().unwrap().covers_below(&prefix.parse().unwrap(), &NoAttributes).unwrap()
        };
        assert!(covers("kv/app/*", "kv/app") && covers("kv/app/*", "kv/app/x") && covers("kv/+/*", "kv/app"));
        assert!(!covers("kv/app/*", "kv") && !covers("kv/app", "kv/app") && !covers("kv/+/*", "kv"));
    }

    #[test]
    fn patterns_meet_where_some_path_matches_both() {
        let meet = |one: &str, other: &str| {
            let (one, other): (Pattern, Pattern) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(one.meets(&other), other.meets(&one));
            one.meets(&other)
        };
        for (one, other) in [
            ("kv/*", "kv/a"),
            ("kv/*", "kv/a/b"),
            ("kv/*", "kv/a/*"),
            ("kv/+/b", "kv/a/+"),
            ("kv/{role}", "kv/a"),
            ("kv/a", "kv/a"),
        ] {
            assert!(meet(one, other), "{one} {other}");
        }
        for (one, other) in
            [("kv/a", "kv/b"), ("kv/a/*", "kv/a"), ("kv/+", "kv/a/b"), ("kv/a/*", "kv/b/*"), ("kv/*", "kv")]
        {
            assert!(!meet(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_matches_for_everybody() {
        let covers = |one: &str, other: &str| {
            let (one, other): (Pattern, Pattern) = (one.parse().unwrap(), other.parse().unwrap());
            assert!(!one.covers(&other) || one.meets(&other), "{one} {other}");
            one.covers(&other)
        };
        for (one, other) in [
            ("kv/*", "kv/*"),
            ("kv/*", "kv/a"),
            ("kv/*", "kv/a/*"),
            ("kv/*", "kv/{role}/b"),
            ("kv/+", "kv/{role}"),
            ("kv/+/*", "kv/a/*"),
            ("+/*", "kv/a"),
            ("kv/{role}", "kv/{role}"),
            ("kv/a", "kv/a"),
        ] {
            assert!(covers(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("kv/a/*", "kv/a"),
            ("kv/a/*", "kv/*"),
            ("kv/a/b", "kv/a/*"),
            ("kv/+", "kv/a/b"),
            ("kv/+", "kv/*"),
            ("kv/{role}", "kv/web"),
            ("kv/{role}", "kv/{platform}"),
            ("kv/a", "kv/+"),
            ("kv/a", "kv/b"),
        ] {
            assert!(!covers(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_pattern_prints_as_it_was_written() {
        for text in ["kv/a", "kv/a/*", "kv/+/x/{role}/*", "transit/{platform}"] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
    }
}
