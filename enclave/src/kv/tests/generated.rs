//! Generators, rotation, and what is done without being asked.

use std::collections::BTreeMap;

use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::{LogKey, LogPublicKey, P256PublicKey};
use vouchsafe_protocol::kv::{KvClass, KvKeyKind};

use super::*;

fn generator(rule: KvRule) -> KvGenerator {
    KvGenerator { rule, every_secs: None, grace_secs: None }
}

fn generate(rig: &mut Rig, at: &str, generator: KvGenerator) -> Result<u64, RefusalCode> {
    rig.written(KvRequest::Generate { path: path(at), generator, cas: Cas::Any })
}

fn made(rig: &mut Rig, rule: KvRule) -> KvValue {
    generate(rig, "kv/made", generator(rule)).unwrap();
    rig.select("kv/made", KvSelect::Current).unwrap().1
}

fn class(characters: &str, minimum: u16) -> KvClass {
    KvClass { characters: characters.to_owned(), minimum }
}

fn password(length: u16, classes: Vec<KvClass>) -> KvRule {
    KvRule::Password { length, classes }
}

#[test]
fn hexadecimal_digits_are_what_they_are_called() {
    let mut rig = Rig::default();
    let mut seen = [false; 16];
    for bytes in [8, 32, 256] {
        let value = made(&mut rig, KvRule::Hex { bytes });
        let text = core::str::from_utf8(value.expose_secret()).unwrap();
        assert_eq!(text.len(), 2 * usize::from(bytes));
        for digit in text.chars() {
            assert!(!digit.is_ascii_uppercase());
            seen[digit.to_digit(16).unwrap() as usize] = true;
        }
    }
    assert!(seen.iter().all(|seen| *seen));
}

#[test]
fn a_uuid_is_of_version_4() {
    let mut rig = Rig::default();
    for _ in 0..64 {
        let value = made(&mut rig, KvRule::Uuid);
        let text = core::str::from_utf8(value.expose_secret()).unwrap();
        let parts: Vec<&str> = text.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()));
        assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{text}");
    }
}

#[test]
fn key_pairs_fit_and_sign() {
    let mut rig = Rig::default();
    let KvValue::Fields(pair) = made(&mut rig, KvRule::KeyPair(KvKeyKind::P256)) else { panic!() };
    let private = P256Key::from_pkcs8(SecretBytes::new(pair.field("private").unwrap().to_vec())).unwrap();
    let public = P256PublicKey::from_spki(pair.field("public").unwrap()).unwrap();
    public.verify(b"message", &private.sign(b"message").unwrap()).unwrap();

    let KvValue::Fields(pair) = made(&mut rig, KvRule::KeyPair(KvKeyKind::Ed25519)) else { panic!() };
    let (private, public) = (pair.field("private").unwrap(), pair.field("public").unwrap());
    // RFC 8410, section 10.3: its own example begins and is as long as these.
    assert_eq!((private.len(), public.len()), (48, 44));
    assert_eq!(private[..16], hex("302e020100300506032b657004220420"));
    assert_eq!(public[..12], hex("302a300506032b6570032100"));
    let key = LogKey::from_seed(&Key32::take(&mut private[16..].to_vec()).unwrap()).unwrap();
    let public = LogPublicKey(public[12..].try_into().unwrap());
    public.verify(b"message", &key.sign(b"message")).unwrap();
}

fn hex(text: &str) -> Vec<u8> {
    let value = |digit: &u8| char::from(*digit).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| value(&pair[0]) << 4 | value(&pair[1])).collect()
}

#[test]
fn a_password_keeps_its_rule() {
    let mut rig = Rig::default();
    let classes = vec![class("abc", 3), class("0123456789", 2), class("!?", 0)];
    for _ in 0..200 {
        let value = made(&mut rig, password(12, classes.clone()));
        let text = core::str::from_utf8(value.expose_secret()).unwrap().to_owned();
        let of = |class: &KvClass| text.chars().filter(|c| class.characters.contains(*c)).count();
        let counts: Vec<usize> = classes.iter().map(of).collect();
        assert!(counts[0] >= 3 && counts[1] >= 2 && counts.iter().sum::<usize>() == 12, "{text}");
    }
    // As tight as it can be, and as long.
    made(&mut rig, password(256, vec![class("ab", 200), class("01", 56)]));
}

/// Chi-squared, with limits that a fair source passes but once in a million runs.
#[test]
fn no_character_and_no_place_is_more_likely() {
    let mut rig = Rig::default();
    // 94 does not divide 256: a modulus alone would show.
    let all: String = ('!'..='~').collect();
    let mut counts: BTreeMap<u8, f64> = all.bytes().map(|byte| (byte, 0.0)).collect();
    let mut places = [0f64; 16];
    let rounds = 1500;
    for _ in 0..rounds {
        let value = made(&mut rig, password(256, vec![class(&all, 0)]));
        value.expose_secret().iter().for_each(|byte| *counts.get_mut(byte).unwrap() += 1.0);
        let value = made(&mut rig, password(16, vec![class("a", 1), class("b", 15)]));
        if let [place] = value
            .expose_secret()
            .iter()
            .enumerate()
            .filter(|(_, c)| **c == b'a')
            .map(|(at, _)| at)
            .collect::<Vec<_>>()[..]
        {
            places[place] += 1.0;
        }
    }
    let chi = |counts: &[f64]| {
        let expected = counts.iter().sum::<f64>() / counts.len() as f64;
        counts.iter().map(|count| (count - expected).powi(2) / expected).sum::<f64>()
    };
    let counts: Vec<f64> = counts.into_values().collect();
    assert!(chi(&counts) < 173.0, "93 degrees of freedom: {}", chi(&counts));
    assert!(chi(&places) < 55.0, "15 degrees of freedom: {}", chi(&places));
}

#[test]
fn rules_beyond_their_limits_are_refused() {
    let mut rig = Rig::default();
    let scheduled = |every_secs, grace_secs| KvGenerator { rule: KvRule::Uuid, every_secs, grace_secs };
    for wrong in [
        generator(KvRule::Hex { bytes: 7 }),
        generator(KvRule::Hex { bytes: 257 }),
        generator(password(7, vec![class("ab", 0)])),
        generator(password(257, vec![class("ab", 0)])),
        generator(password(8, vec![])),
        generator(password(8, vec![class("", 0), class("ab", 0)])),
        generator(password(8, vec![class("a", 0)])),
        generator(password(8, vec![class("aba", 0)])),
        generator(password(8, vec![class("ab", 0), class("cb", 0)])),
        generator(password(8, vec![class("ab\n", 0)])),
        generator(password(8, vec![class("ab\u{e4}", 0)])),
        generator(password(8, vec![class("ab", 5), class("cd", 4)])),
        generator(password(8, vec![class("ab", u16::MAX), class("cd", 1)])),
        scheduled(Some(59), None),
        scheduled(Some(u64::MAX), None),
        scheduled(None, Some(u64::MAX)),
    ] {
        let said = format!("{wrong:?}");
        assert_eq!(generate(&mut rig, "kv/a", wrong), Err(RefusalCode::Settings), "{said}");
    }
    assert_eq!(rig.kv.len(), 0);
}

#[test]
fn without_randomness_nothing_is_made() {
    let mut rig = Rig::default();
    for rule in [
        KvRule::Uuid,
        KvRule::Hex { bytes: 8 },
        KvRule::KeyPair(KvKeyKind::P256),
        KvRule::KeyPair(KvKeyKind::Ed25519),
        password(8, vec![class("ab", 0)]),
    ] {
        let request = KvRequest::Generate { path: path("kv/a"), generator: generator(rule), cas: Cas::Any };
        let refused = rig.kv.plan(request, 0, &mut NoRandomness).err();
        assert_eq!(refused, Some(RefusalCode::Busy));
    }
    generate(&mut rig, "kv/a", generator(KvRule::Uuid)).unwrap();
}

#[test]
fn a_rotation_keeps_the_version_before_for_the_time_of_grace() {
    let mut rig = Rig { now: 1000, ..Rig::default() };
    let every = KvGenerator { rule: KvRule::Uuid, every_secs: Some(600), grace_secs: Some(60) };
    assert_eq!(rig.ask(KvRequest::Rotate { path: path("kv/a") }).err(), Some(RefusalCode::NotFound));
    rig.put("kv/a", b"by hand", Cas::Any).unwrap();
    assert_eq!(rig.ask(KvRequest::Rotate { path: path("kv/a") }).err(), Some(RefusalCode::NoGenerator));
    assert_eq!(generate(&mut rig, "kv/a", every), Ok(2));
    assert_eq!((rig.metadata("kv/a").next_secs, rig.kv.next_due()), (Some(1600), 1060));
    assert_eq!(rig.select("kv/a", KvSelect::Previous).unwrap().0, 1);
    rig.now = 1060;
    assert_eq!(rig.select("kv/a", KvSelect::Previous).err(), Some(RefusalCode::Expired));
    // By hand before its time: the schedule begins anew.
    rig.now = 1100;
    assert_eq!(rig.written(KvRequest::Rotate { path: path("kv/a") }), Ok(3));
    assert_eq!(rig.metadata("kv/a").next_secs, Some(1700));
    assert_eq!(rig.select("kv/a", KvSelect::Previous).unwrap().0, 2);
    // A generator that is taken away makes nothing more; one that stays as it was keeps its time.
    rig.now = 1150;
    rig.configure(secret("kv/a"), max_versions(3)).unwrap();
    assert_eq!(rig.metadata("kv/a").next_secs, Some(1700));
    rig.configure(secret("kv/a"), KvEdits { generator: Edit::Clear, ..KvEdits::default() }).unwrap();
    assert_eq!(rig.metadata("kv/a").next_secs, None);
}
