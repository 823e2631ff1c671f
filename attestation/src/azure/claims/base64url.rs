//! Base64url without padding, in its one encoding (RFC 4648, sections 3.5 and 5).

/// `None` for anything but the one encoding of some bytes.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    // Never longer than the text, which is bounded by the report it is from.
    let mut bytes = Vec::with_capacity(text.len());
    for group in text.as_bytes().chunks(4) {
        let mut bits: u32 = 0;
        for letter in group {
            bits = bits << 6 | value(*letter)?;
        }
        let [_, first, second, third] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        // The bits that no byte takes are zero in the one encoding.
        match (group.len(), second, third) {
            (4, ..) => bytes.extend([first, second, third]),
            (3, _, 0) => bytes.extend([first, second]),
            (2, 0, 0) => bytes.push(first),
            _ => return None,
        }
    }
    Some(bytes)
}

fn value(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn the_vectors_of_rfc_4648_without_padding() {
        let vectors = ["", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"];
        for (len, text) in vectors.iter().enumerate() {
            assert_eq!(decode(text).as_deref(), b"foobar".get(..len));
        }
        assert_eq!(decode("-_-_"), Some(vec![0xfb, 0xff, 0xbf]));
    }

    #[test]
    fn other_encodings_of_the_same_bytes_are_refused() {
        for text in ["Zg==", "Zh", "Zm9", "Z", "Zm9vY", "Zm+v", "Zm/v", "Zm9v\n", " Zm9v", "Zm9v=", "Zmé"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
