use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::policy::Permission;
use vouchsafe_protocol::transit::*;

use super::args::{ciphertext, key_path, kind, material, prefix_path, signature};
use super::keys::shown;
use super::shown::{Line, lines};

fn path() -> Path {
    "transit/web/a".parse().unwrap()
}

fn metadata(kind: KeyKind, rotate_every_secs: u64, next: Option<u64>) -> KeyMetadata {
    let version = |version, public_key| KeyVersion { version, created_secs: 1_790_000_000, public_key };
    KeyMetadata {
        options: KeyOptions {
            kind,
            derivation: Derivation::None,
            export: Permission::Forbidden,
            import: Permission::Allowed,
        },
        config: KeyConfiguration {
            deletion: Permission::Forbidden,
            min_decrypt_version: 2,
            min_encrypt_version: 1,
            rotate_every_secs,
        },
        next_rotation_secs: next,
        versions: vec![version(2, Vec::new()), version(3, vec![0x30, 0])],
    }
}

#[test]
fn a_key_is_shown_whole_as_text_and_as_json() {
    let output = shown(&path(), &metadata(KeyKind::Ed25519, 30 * 86_400, Some(1_790_000_001)));
    for part in [
        "transit/web/a, current version 3",
        "ed25519",
        "every 30d, next 2026-09-21T14:13:21Z",
        "version 2, made 2026-09-21T14:13:20Z",
        "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----",
    ] {
        assert!(output.text().contains(part), "{part}: {}", output.text());
    }
    let json = output.json();
    assert_eq!(json["current"], 3);
    assert_eq!(json["export"], "forbidden");
    assert_eq!(json["versions"][0]["public_key"], serde_json::Value::Null);
    let full = shown(&path(), &metadata(KeyKind::Hmac, 3600, None));
    assert!(full.text().contains("trim it"), "{}", full.text());
    let never = shown(&path(), &metadata(KeyKind::Hmac, 0, None));
    assert!(never.text().contains("never by itself"), "{}", never.text());
}

#[test]
fn items_of_a_batch_are_lines_and_one_that_is_refused_is_told() {
    let line = |text: &str| Line { text: text.to_owned(), json: text.into() };
    let refused = Item::Refused(ItemRefusal::Ciphertext);
    let both = lines(&path(), vec![Item::Done("a"), refused.clone()], line).unwrap();
    assert!(!both.passed);
    assert_eq!(both.json()["items"][0], "a");
    assert_eq!(both.json()["items"][1]["refused"], "ciphertext");
    let failure = crate::failure::Failure::of(&lines(&path(), vec![refused], line).err().unwrap().into());
    assert_eq!(failure.code, "refused.ciphertext");
    assert!(failure.hint.is_some());
}

#[test]
fn paths_and_kinds_are_checked_before_the_vault_is_asked() {
    assert!(key_path("transit/web/a").is_ok() && prefix_path("transit").is_ok());
    for text in ["transit", "kv/a", "transit/", "transit//a", "transit/a*", "web/a"] {
        assert!(key_path(text).is_err(), "{text}");
    }
    for known in KeyKind::ALL {
        assert_eq!(kind(known.name()), Ok(known));
    }
    assert!(kind("aes").unwrap_err().contains("chacha20-poly1305"));
}

#[test]
fn ciphertexts_are_read_as_text_or_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = [&[1, 0, 0, 0, 2], [7; 48].as_slice()].concat();
    let sealed = Ciphertext::new(bytes.clone());
    let text = vouchsafe_client::SealedText::of(&sealed).to_string();
    assert_eq!(ciphertext(&text).unwrap(), sealed);
    for content in [bytes, (text + "\n").into_bytes()] {
        let file = dir.path().join("sealed");
        std::fs::write(&file, content).unwrap();
        assert_eq!(ciphertext(&format!("@{}", file.display())).unwrap(), sealed);
    }
    assert!(ciphertext("vault:v1:AAAA").is_err());
    assert_eq!(signature("vouchsafe:v3:AAA=").unwrap(), Signature { version: 3, bytes: vec![0, 0] });
}

#[test]
fn material_is_taken_as_pem_and_an_ed25519_key_as_its_seed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.pem");
    let der = [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20], [9; 32].as_slice()]
        .concat();
    std::fs::write(&file, crate::input::pem("PRIVATE KEY", &der)).unwrap();
    let source = format!("@{}", file.display());
    assert_eq!(material(&source).unwrap().expose_secret(), [9; 32]);
    std::fs::write(&file, [5; 32]).unwrap();
    assert_eq!(material(&source).unwrap().expose_secret(), [5; 32]);
    std::fs::write(&file, crate::input::pem("ENCRYPTED PRIVATE KEY", &der)).unwrap();
    assert!(material(&source).is_err());
}
