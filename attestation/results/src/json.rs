//! Writing JSON, for results alone. Nothing here reads any.

use core::fmt::Write as _;

/// One object, its members in the order they were added. Names are constants of the caller's.
#[derive(Default)]
pub(crate) struct Object(String);

impl Object {
    /// A text, escaped as RFC 8259, section 7 asks for.
    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        quote(&mut self.0, value);
        self
    }

    /// Bytes as lower-case hexadecimal text.
    pub fn hex(self, name: &str, bytes: &[u8]) -> Self {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.text(name, &digits)
    }

    /// A number; programs that read JSON numbers as doubles take those below 2^53 exactly.
    pub fn number(self, name: &str, value: u64) -> Self {
        self.raw(name, &value.to_string())
    }

    /// `true` or `false`.
    pub fn flag(self, name: &str, value: bool) -> Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    /// Texts.
    pub fn texts<'a>(self, name: &str, values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut list = String::new();
        for value in values {
            if !list.is_empty() {
                list.push(',');
            }
            quote(&mut list, value);
        }
        self.raw(name, &format!("[{list}]"))
    }

    /// An object inside.
    pub fn object(self, name: &str, value: Object) -> Self {
        self.raw(name, &value.finish())
    }

    /// The text of the object.
    pub fn finish(self) -> String {
        format!("{{{}}}", self.0)
    }

    fn raw(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.0.push_str(value);
        self
    }

    fn name(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        quote(&mut self.0, name);
        self.0.push(':');
    }
}

fn quote(out: &mut String, value: &str) {
    out.push('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            // Writing to a String does not fail.
            control if control < ' ' => write!(out, "\\u{:04x}", u32::from(control)).unwrap_or_default(),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_json() {
        let inner = Object::default().texts("list", ["a", "b"]).texts("none", []).flag("on", true);
        let object = Object::default().text("t", "x").number("n", 7).hex("h", &[0, 0xff]).object("o", inner);
        let expected = r#"{"t":"x","n":7,"h":"00ff","o":{"list":["a","b"],"none":[],"on":true}}"#;
        assert_eq!(object.finish(), expected);
        assert_eq!(Object::default().finish(), "{}");
    }

    #[test]
    fn no_text_gets_out_of_its_quotes() {
        let object = Object::default().text("n", "a\"b\\c\n\u{1}\u{7f}é");
        assert_eq!(object.finish(), "{\"n\":\"a\\\"b\\\\c\\u000a\\u0001\u{7f}é\"}");
    }
}
