//! What a rule makes, from random bytes and nothing else.

use zeroize::Zeroizing;

use super::generator::{KvClass, KvRule, check_classes};
use super::value::SecretValue;

/// Where random bytes come from.
type Random<'a, E> = &'a mut dyn FnMut(&mut [u8]) -> Result<(), E>;

impl KvRule {
    /// Makes a text; `None` for a key pair, which is none, and for a rule that does not pass its check.
    ///
    /// # Errors
    /// Those of `random`.
    pub fn text<E>(&self, random: Random<'_, E>) -> Result<Option<SecretValue>, E> {
        let mut bytes = |len: usize| {
            let mut bytes = Zeroizing::new(vec![0; len]);
            random(&mut bytes).map(|()| bytes)
        };
        match self {
            Self::Hex { bytes: len } => Ok(Some(hex(&bytes(usize::from(*len))?))),
            Self::KeyPair(_) => Ok(None),
            Self::Password { length, classes } if check_classes(*length, classes).is_ok() => {
                password(usize::from(*length), classes, random)
            }
            Self::Password { .. } => Ok(None),
            Self::Uuid => Ok(Some(uuid(bytes(16)?))),
        }
    }
}

/// RFC 9562: version 4 and the variant (sections 4.1 and 4.2), then its text form (section 4).
fn uuid(mut bytes: Zeroizing<Vec<u8>>) -> SecretValue {
    for (index, byte) in bytes.iter_mut().enumerate() {
        match index {
            6 => *byte = *byte & 0x0f | 0x40,
            8 => *byte = *byte & 0x3f | 0x80,
            _ => {}
        }
    }
    let mut text = Vec::with_capacity(36);
    for (index, digit) in hex(&bytes).expose_secret().iter().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push(b'-');
        }
        text.push(*digit);
    }
    SecretValue::new(text)
}

/// Lower-case digits, without a look-up or a branch that depends on them.
fn hex(bytes: &[u8]) -> SecretValue {
    let digit = |nibble: u8| nibble + b'0' + (nibble + 6) / 16 * (b'a' - b'0' - 10);
    let mut text = Vec::with_capacity(2 * bytes.len());
    bytes.iter().for_each(|byte| text.extend([digit(byte >> 4), digit(byte & 0x0f)]));
    SecretValue::new(text)
}

/// The minimum of each class, the rest of all classes, then all of it in random order (Fisher and Yates).
fn password<E>(length: usize, classes: &[KvClass], random: Random<'_, E>) -> Result<Option<SecretValue>, E> {
    let mut dice = Dice { random, bytes: Zeroizing::new([0; 64]), used: 64 };
    let all: Vec<u8> = classes.iter().flat_map(|class| class.characters.bytes()).collect();
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    for class in classes {
        for _ in 0..class.minimum {
            text.extend(dice.pick(class.characters.as_bytes())?);
        }
    }
    while text.len() < length {
        text.extend(dice.pick(&all)?);
    }
    for last in (1..text.len()).rev() {
        text.swap(last, dice.below(last + 1)?);
    }
    Ok(Some(SecretValue::new(std::mem::take(&mut *text))))
}

/// Numbers without a bias.
struct Dice<'a, E> {
    random: Random<'a, E>,
    bytes: Zeroizing<[u8; 64]>,
    used: usize,
}

impl<E> Dice<'_, E> {
    /// A number below `count`, which is 1 to 256: bytes from its largest multiple on are thrown again.
    fn below(&mut self, count: usize) -> Result<usize, E> {
        let fair = 256 - 256usize.checked_rem(count).unwrap_or(0);
        loop {
            if self.used == self.bytes.len() {
                (self.random)(self.bytes.as_mut_slice())?;
                self.used = 0;
            }
            let byte = self.bytes.get(self.used).map_or(usize::MAX, |byte| usize::from(*byte));
            self.used += 1;
            if byte < fair {
                return Ok(byte.checked_rem(count).unwrap_or(0));
            }
        }
    }

    /// One of them; never none, because no class that passed its check is empty.
    fn pick(&mut self, from: &[u8]) -> Result<Option<u8>, E> {
        Ok(from.get(self.below(from.len())?).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_digits() {
        let all: Vec<u8> = (0..=255).collect();
        let expected: String = all.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex(&all).expose_secret(), expected.as_bytes());
    }

    #[test]
    fn bytes_beyond_the_largest_multiple_are_thrown_again() {
        // Of 3, 255 is the only byte that would make 0 more likely.
        let mut given = [255, 255, 4, 254, 3].into_iter().chain(std::iter::repeat(0));
        let mut random = |out: &mut [u8]| {
            out.iter_mut().zip(given.by_ref()).for_each(|(out, byte)| *out = byte);
            Ok::<_, ()>(())
        };
        let mut dice = Dice { random: &mut random, bytes: Zeroizing::new([0; 64]), used: 64 };
        assert_eq!([dice.below(3), dice.below(3), dice.below(3)], [Ok(1), Ok(2), Ok(0)]);
        assert_eq!(dice.below(256), Ok(0));
    }

    #[test]
    fn a_rule_that_does_not_pass_its_check_makes_nothing() {
        let rule = KvRule::Password { length: 8, classes: vec![] };
        assert!(rule.text(&mut |_| Ok::<_, ()>(())).unwrap().is_none());
        let failing = KvRule::Uuid.text(&mut |_| Err(()));
        assert!(failing.is_err());
    }
}
