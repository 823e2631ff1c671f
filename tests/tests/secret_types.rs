//! Secrets cannot get into a log, a copy or a message by accident (V2): their types lack the means.
//!
//! Whether a type implements a trait is asked of the compiler: an inherent constant, which only types with the
//! trait have, is preferred to the one that a trait gives to all types.

use std::marker::PhantomData;

use vouchsafe_crypto::aead::SealingKey;
use vouchsafe_crypto::secret::{Key32, SecretBytes};
use vouchsafe_crypto::signature::{LogKey, P256Key};
use vouchsafe_crypto::transit::signing::SigningKey;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::introduction::Activated;
use vouchsafe_protocol::kv::{KvFields, KvValue, SecretValue};

/// Asks whether a type implements a trait.
macro_rules! implements {
    ($type:ty: $($bound:tt)+) => {{
        #[allow(dead_code, reason = "with the trait nothing asks this one")]
        trait Fallback {
            const ANSWER: bool = false;
        }
        impl<T: ?Sized> Fallback for T {}
        #[allow(dead_code, reason = "without the trait nothing asks this one")]
        struct Asked<T: ?Sized>(PhantomData<T>);
        #[allow(dead_code, reason = "without the trait nothing asks this one")]
        impl<T: ?Sized + $($bound)+> Asked<T> {
            const ANSWER: bool = true;
        }
        <Asked<$type>>::ANSWER
    }};
}

macro_rules! assert_lacks {
    ($type:ty: $($bound:path),+) => {
        $(assert!(!implements!($type: $bound), concat!(stringify!($type), " is ", stringify!($bound)));)+
    };
}

#[test]
fn the_question_is_answered_both_ways() {
    assert!(implements!(String: Clone) && implements!(str: std::fmt::Display));
    assert!(!implements!(std::cell::Cell<u8>: Sync));
}

#[test]
fn v2_keys_cannot_be_copied_compared_printed_or_serialised() {
    assert_lacks!(Key32: Clone, PartialEq, std::fmt::Display, serde::Serialize, std::ops::Deref);
    assert_lacks!(SecretBytes: Clone, PartialEq, std::fmt::Display, serde::Serialize, std::ops::Deref);
    assert_lacks!(SealingKey: Clone, PartialEq, std::fmt::Display, serde::Serialize, std::ops::Deref);
    assert_lacks!(P256Key: Clone, PartialEq, std::fmt::Display, serde::Serialize, std::ops::Deref);
    assert_lacks!(SigningKey: Clone, PartialEq, std::fmt::Display, serde::Serialize, std::ops::Deref);
    assert_lacks!(LogKey: Clone, PartialEq, std::fmt::Display, serde::Serialize, std::ops::Deref);
}

/// These travel, inside TLS, so they are serialisable; and nothing else.
#[test]
fn v2_values_that_travel_cannot_be_copied_or_printed() {
    assert_lacks!(SecretValue: Clone, PartialEq, std::fmt::Display, std::ops::Deref);
    assert_lacks!(KvValue: Clone, PartialEq, std::fmt::Display, std::ops::Deref);
    assert_lacks!(KvFields: Clone, PartialEq, std::fmt::Display, std::ops::Deref);
    assert_lacks!(Activated: Clone, PartialEq, std::fmt::Display, std::ops::Deref);
}

/// `Debug` is needed by containers and by test failures; it is written by hand and shows no byte.
#[test]
fn v2_what_debug_shows_depends_on_no_secret_byte() {
    let shown = |byte: u8| {
        let key = Key32::take(&mut [byte; 32]).unwrap();
        let bytes = SecretBytes::new(vec![byte; 9]);
        let value = SecretValue::new(vec![byte; 9]);
        let activated: Activated = codec::decode(&codec::encode(&vec![byte; 32]).unwrap(), 64).unwrap();
        format!("{key:?} {bytes:?} {value:?} {activated:?}")
    };
    assert_eq!(shown(b'A'), shown(b'B'));
}
