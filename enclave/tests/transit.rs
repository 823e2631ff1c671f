//! The transit engine: what each kind of key does, and every way in which it is refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests and their helpers"
)]

#[path = "support/keys.rs"]
mod keys;
mod support;

use keys::*;
use support::*;
use vouchsafe_enclave::KernelPorts;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::limits::{
    DATA_KEY_LEN, RANDOM_LEN, SESSION_FRAME_LEN, TRANSIT_AAD_LEN, TRANSIT_CONTEXT_LEN, TRANSIT_ITEMS,
    TRANSIT_VERSIONS,
};
use vouchsafe_protocol::log::{Action, Actor, AuditEntry};
use vouchsafe_protocol::policy::{Capability, Permission};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Reply, Request};
use vouchsafe_protocol::transit::*;

const CIPHERS: [KeyKind; 2] = [KeyKind::Aes256Gcm, KeyKind::ChaCha20Poly1305];
const SIGNERS: [KeyKind; 4] = [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Hmac];

#[test]
fn every_cipher_and_derivation_encrypts_and_decrypts() {
    let mut rig = Rig::new();
    for kind in CIPHERS {
        for derivation in [Derivation::None, Derivation::Derived, Derivation::Convergent] {
            let key = format!("transit/web/{}-{derivation:?}", kind.name());
            rig.create(&key, options(kind, derivation));
            let context: &[u8] = if derivation == Derivation::None { b"" } else { b"tenant" };
            for plaintext in [b"".as_slice(), b"plaintext", &[0; 70_000]] {
                let sealed = rig.encrypt(&key, plaintext, context, b"aad");
                assert_eq!(sealed.as_bytes().len(), plaintext.len() + OVERHEAD_LEN);
                assert_eq!(sealed.header().unwrap().0, 1);
                assert_eq!(rig.decrypt(&key, &sealed, context, b"aad"), Ok(plaintext.to_vec()));
            }
        }
    }
}

#[test]
fn every_signer_signs_and_every_other_message_key_and_version_is_invalid() {
    let mut rig = Rig::new();
    for kind in SIGNERS {
        let (key, other) = (format!("transit/web/{}", kind.name()), format!("transit/web/{}-2", kind.name()));
        rig.create(&key, options(kind, Derivation::None));
        rig.create(&other, options(kind, Derivation::None));
        let signature = rig.sign(&key, b"message", b"");
        assert_eq!(signature.version, 1);
        assert_eq!(rig.verify(&key, b"message", b"", &signature), Verdict::Valid);
        assert_eq!(rig.verify(&key, b"massage", b"", &signature), Verdict::Invalid);
        assert_eq!(rig.verify(&other, b"message", b"", &signature), Verdict::Invalid);
        rig.rotate(&key);
        assert_eq!(rig.verify(&key, b"message", b"", &signature), Verdict::Valid, "older versions verify");
        for version in [0, 2, 3, u32::MAX] {
            let other = Signature { version, ..signature.clone() };
            assert_eq!(rig.verify(&key, b"message", b"", &other), Verdict::Invalid, "version {version}");
        }
        let mut changed = signature.clone();
        changed.bytes[3] ^= 1;
        assert_eq!(rig.verify(&key, b"message", b"", &changed), Verdict::Invalid);
        let public = &rig.metadata(&key).versions[0].public_key;
        assert_eq!(public.is_empty(), kind == KeyKind::Hmac, "only what signs has a public key");
    }
}

#[test]
fn a_derived_hmac_is_of_its_context() {
    let mut rig = Rig::new();
    rig.create("transit/web/mac", options(KeyKind::Hmac, Derivation::Derived));
    let signature = rig.sign("transit/web/mac", b"message", b"a");
    assert_eq!(rig.verify("transit/web/mac", b"message", b"a", &signature), Verdict::Valid);
    assert_eq!(rig.verify("transit/web/mac", b"message", b"b", &signature), Verdict::Invalid);
}

#[test]
fn rsa_is_imported_and_signs_and_is_never_made() {
    let mut rig = Rig::new();
    let rsa = options(KeyKind::RsaPss, Derivation::None);
    rig.import("transit/web/rsa", Some(rsa), RSA_PKCS8).unwrap();
    let signature = rig.sign("transit/web/rsa", b"message", b"");
    assert_eq!(signature.bytes.len(), 256);
    assert_eq!(rig.verify("transit/web/rsa", b"message", b"", &signature), Verdict::Valid);
    rig.refuses_operator(create("transit/web/other", rsa), RefusalCode::NotSupported);
    rig.refuses_operator(rotate("transit/web/rsa"), RefusalCode::NotSupported);
    let every = KeyConfig { rotate_every_secs: Some(86_400), ..KeyConfig::default() };
    rig.refuses_operator(configure("transit/web/rsa", every), RefusalCode::NotSupported);
    rig.import("transit/web/rsa", None, RSA_PKCS8).unwrap();
    assert_eq!(rig.metadata("transit/web/rsa").current(), 2);
}

/// Each from a ciphertext that decrypts, by one change (B2, F9): one answer for all of them.
#[test]
fn f9_b2_every_way_not_to_decrypt_has_one_answer() {
    for kind in CIPHERS {
        for derivation in [Derivation::None, Derivation::Derived, Derivation::Convergent] {
            let mut rig = Rig::new();
            let derived = derivation != Derivation::None;
            let context: &[u8] = if derived { b"tenant" } else { b"" };
            for key in ["transit/web/a", "transit/web/b"] {
                let options = KeyOptions { import: Permission::Allowed, ..options(kind, derivation) };
                rig.import(key, Some(options), &[7; 32]).unwrap();
                rig.import(key, None, &[7; 32]).unwrap();
            }
            let key = "transit/web/a";
            let sealed = rig.encrypt(key, b"plaintext", context, b"aad");
            assert_eq!(rig.decrypt(key, &sealed, context, b"aad").as_deref(), Ok(b"plaintext".as_slice()));
            let bytes = sealed.as_bytes();
            let with = |at: usize, byte: u8| {
                let mut changed = bytes.to_vec();
                changed[at] ^= byte;
                Ciphertext::new(changed)
            };
            let cut = |len: usize| Ciphertext::new(bytes[..len].to_vec());
            let long = [0; TRANSIT_AAD_LEN + 1];
            let far = [1; TRANSIT_CONTEXT_LEN + 1];
            let other_context: &[u8] = if derived { b"tenanu" } else { b"x" };
            let no_context: &[u8] = if derived { b"" } else { b"tenant" };
            for (what, key, sealed, context, aad) in [
                ("path", "transit/web/b", sealed.clone(), context, b"aad".as_slice()),
                ("another context", key, sealed.clone(), other_context, b"aad"),
                ("a missing or needless context", key, sealed.clone(), no_context, b"aad"),
                ("a context that is too long", key, sealed.clone(), &far, b"aad"),
                ("aad", key, sealed.clone(), context, b"aae"),
                ("no aad", key, sealed.clone(), context, b""),
                ("aad that is too long", key, sealed.clone(), context, &long),
                ("format", key, with(0, 3), context, b"aad"),
                ("version 1 with the same material", key, with(4, 3), context, b"aad"),
                ("version 3, which there is not", key, with(4, 1), context, b"aad"),
                ("version 0", key, with(4, 2), context, b"aad"),
                ("salt", key, with(5, 1), context, b"aad"),
                ("body", key, with(HEADER_LEN, 1), context, b"aad"),
                ("tag", key, with(bytes.len() - 1, 1), context, b"aad"),
                ("cut", key, cut(bytes.len() - 1), context, b"aad"),
                ("header alone", key, cut(HEADER_LEN), context, b"aad"),
                ("nothing", key, cut(0), context, b"aad"),
            ] {
                let before = rig.digest();
                let answer = rig.decrypt(key, &sealed, context, aad);
                assert_eq!(answer, Err(ItemRefusal::Ciphertext), "{kind:?} {derivation:?}: {what}");
                assert_eq!(rig.digest(), before, "V3: {what}");
            }
        }
    }
}

/// The same material at the same path, first for one algorithm and then for the other.
#[test]
fn b2_a_ciphertext_is_of_its_kind() {
    let mut rig = Rig::new();
    let key = "transit/web/a";
    let may = KeyOptions { import: Permission::Allowed, ..options(KeyKind::Aes256Gcm, Derivation::None) };
    rig.import(key, Some(may), &[7; 32]).unwrap();
    let sealed = rig.encrypt(key, b"plaintext", b"", b"");
    let deletion = KeyConfig { deletion: Some(Permission::Allowed), ..KeyConfig::default() };
    rig.operator(configure(key, deletion)).unwrap();
    rig.operator(TransitRequest::Delete { key: path(key) }).unwrap();
    let may = KeyOptions { kind: KeyKind::ChaCha20Poly1305, ..may };
    rig.import(key, Some(may), &[7; 32]).unwrap();
    assert_eq!(rig.decrypt(key, &sealed, b"", b""), Err(ItemRefusal::Ciphertext));
}

#[test]
fn convergent_keys_give_equal_ciphertexts_for_equal_inputs_only() {
    let mut rig = Rig::new();
    rig.create("transit/web/c", options(KeyKind::Aes256Gcm, Derivation::Convergent));
    rig.create("transit/web/d", options(KeyKind::Aes256Gcm, Derivation::Derived));
    let own = rig.encrypt("transit/web/c", b"plaintext", b"tenant", b"aad");
    assert_eq!(own, rig.encrypt("transit/web/c", b"plaintext", b"tenant", b"aad"));
    assert_ne!(own, rig.encrypt("transit/web/c", b"plaintexu", b"tenant", b"aad"));
    assert_ne!(own, rig.encrypt("transit/web/c", b"plaintext", b"tenanu", b"aad"));
    assert_ne!(own, rig.encrypt("transit/web/c", b"plaintext", b"tenant", b"aae"));
    let random = rig.encrypt("transit/web/d", b"plaintext", b"tenant", b"aad");
    assert_ne!(random, rig.encrypt("transit/web/d", b"plaintext", b"tenant", b"aad"));
    rig.rotate("transit/web/c");
    assert_ne!(own, rig.encrypt("transit/web/c", b"plaintext", b"tenant", b"aad"), "another version");
}

#[test]
fn minimum_versions_are_in_force_and_trimming_is_for_good() {
    let mut rig = Rig::new();
    let key = "transit/web/a";
    rig.create(key, options(KeyKind::Aes256Gcm, Derivation::None));
    let first = rig.encrypt(key, b"one", b"", b"");
    rig.rotate(key);
    rig.rotate(key);
    assert_eq!(rig.metadata(key).current(), 3);
    assert_eq!(rig.decrypt(key, &first, b"", b"").as_deref(), Ok(b"one".as_slice()));
    assert_eq!(rig.encrypt_under(key, Some(1), b"one").unwrap().header().unwrap().0, 1);

    let min_encrypt = KeyConfig { min_encrypt_version: Some(2), ..KeyConfig::default() };
    rig.operator(configure(key, min_encrypt)).unwrap();
    assert_eq!(rig.encrypt_under(key, Some(1), b"one").err(), Some(RefusalCode::KeyUse));
    assert!(rig.encrypt_under(key, Some(2), b"one").is_ok());
    assert_eq!(rig.decrypt(key, &first, b"", b"").as_deref(), Ok(b"one".as_slice()), "still decrypts");

    rig.refuses_operator(trim(key, 2), RefusalCode::Settings);
    let min_decrypt = |version| KeyConfig { min_decrypt_version: Some(version), ..KeyConfig::default() };
    rig.operator(configure(key, min_decrypt(3))).unwrap();
    assert_eq!(rig.decrypt(key, &first, b"", b""), Err(ItemRefusal::Ciphertext));
    assert_eq!(
        rig.encrypt_under(key, Some(2), b"one").err(),
        Some(RefusalCode::KeyUse),
        "nobody could decrypt"
    );
    rig.operator(configure(key, min_decrypt(1))).unwrap();
    assert!(rig.decrypt(key, &first, b"", b"").is_ok(), "until trimmed it can be taken back");

    rig.operator(configure(key, min_decrypt(3))).unwrap();
    rig.refuses_operator(trim(key, 4), RefusalCode::Settings);
    rig.operator(trim(key, 3)).unwrap();
    assert_eq!(rig.metadata(key).versions.len(), 1);
    rig.refuses_operator(configure(key, min_decrypt(1)), RefusalCode::Settings);
    rig.refuses_operator(trim(key, 3), RefusalCode::Settings);
    assert_eq!(rig.decrypt(key, &first, b"", b""), Err(ItemRefusal::Ciphertext));
    assert_eq!(rig.encrypt_under(key, Some(1), b"one").err(), Some(RefusalCode::NotFound));
}

#[test]
fn old_versions_of_a_signing_key_stop_verifying_at_the_minimum() {
    let mut rig = Rig::new();
    for kind in SIGNERS {
        let key = format!("transit/web/{}", kind.name());
        rig.create(&key, options(kind, Derivation::None));
        let signature = rig.sign(&key, b"message", b"");
        rig.rotate(&key);
        let min = KeyConfig { min_decrypt_version: Some(2), ..KeyConfig::default() };
        rig.operator(configure(&key, min)).unwrap();
        assert_eq!(rig.verify(&key, b"message", b"", &signature), Verdict::Invalid, "{kind:?}");
    }
}

#[test]
fn rewrap_reports_per_item_and_shows_no_plaintext() {
    let mut rig = Rig::new();
    let key = "transit/web/a";
    rig.create(key, options(KeyKind::Aes256Gcm, Derivation::None));
    let old = rig.encrypt(key, b"secret", b"", b"aad");
    rig.rotate(key);
    let new = rig.encrypt(key, b"secret", b"", b"aad");
    let bad = Ciphertext::new(vec![1; 60]);
    let items = [&old, &new, &bad].map(|sealed| item(sealed, b"", b"aad")).into();
    let reply = rig.agent(TransitRequest::Rewrap { key: path(key), items }).unwrap();
    let Reply::Transit(TransitReply::Rewrapped(items)) = reply else { panic!("another reply") };
    let [Item::Done(changed), Item::Done(same), Item::Refused(ItemRefusal::Ciphertext)] = items.as_slice()
    else {
        panic!("{items:?}")
    };
    assert_eq!((changed.from_version, changed.ciphertext.header().unwrap().0), (1, 2));
    assert_eq!((same.from_version, &same.ciphertext), (2, &new));
    assert_eq!(rig.decrypt(key, &changed.ciphertext, b"", b"aad").as_deref(), Ok(b"secret".as_slice()));
    // What is already current is verified all the same.
    let mut forged = new.as_bytes().to_vec();
    forged[40] ^= 1;
    let items = vec![item(&Ciphertext::new(forged), b"", b"aad")];
    let reply = rig.agent(TransitRequest::Rewrap { key: path(key), items }).unwrap();
    let Reply::Transit(TransitReply::Rewrapped(items)) = reply else { panic!("another reply") };
    assert_eq!(items, [Item::Refused(ItemRefusal::Ciphertext)]);
}

#[test]
fn data_keys_are_new_each_time_and_told_only_if_asked_for() {
    let mut rig = Rig::new();
    let key = "transit/web/a";
    rig.create(key, options(KeyKind::ChaCha20Poly1305, Derivation::None));
    let mut make = |form, len| {
        let items = vec![Binding::default(), Binding { aad: b"aad".to_vec(), ..Binding::default() }];
        rig.agent(TransitRequest::DataKey { key: path(key), form, len, items })
    };
    let made = |reply| match reply {
        Ok(Reply::Transit(TransitReply::DataKeys(items))) => items,
        other => panic!("{other:?}"),
    };
    let plain = made(make(DataKeyForm::Plain, 48));
    let wrapped = made(make(DataKeyForm::Wrapped, 32));
    for len in [DATA_KEY_LEN.start() - 1, DATA_KEY_LEN.end() + 1] {
        assert_eq!(make(DataKeyForm::Plain, len).err(), Some(RefusalCode::TooLarge), "{len}");
    }
    let mut seen = std::collections::BTreeSet::new();
    for (item, aad) in plain.iter().zip([b"".as_slice(), b"aad"]) {
        let Item::Done(DataKey { plain: Some(plain), wrapped }) = item else { panic!("{item:?}") };
        assert_eq!(plain.expose_secret().len(), 48);
        assert_eq!(rig.decrypt(key, wrapped, b"", aad).unwrap(), plain.expose_secret());
        assert!(seen.insert(plain.expose_secret().to_vec()));
    }
    for (item, aad) in wrapped.iter().zip([b"".as_slice(), b"aad"]) {
        let Item::Done(DataKey { plain: None, wrapped }) = item else { panic!("{item:?}") };
        assert_eq!(rig.decrypt(key, wrapped, b"", aad).unwrap().len(), 32);
    }
}

/// A key with known material is used in every way; its bytes are in no reply but that of an export (H1).
#[test]
fn keys_are_in_no_reply_but_an_export() {
    let secret = *b"this is the material of the key!";
    let mut rig = Rig::new();
    let open = Permission::Allowed;
    for (index, kind) in [KeyKind::Aes256Gcm, KeyKind::Ed25519, KeyKind::Hmac].into_iter().enumerate() {
        let key = &format!("transit/web/{index}");
        let may = KeyOptions { import: open, export: open, ..options(kind, Derivation::None) };
        rig.import(key, Some(may), &secret).unwrap();
        let binding = Binding::default();
        let sealed = Ciphertext::new(vec![1; 60]);
        let signature = Signature { version: 1, bytes: vec![0; 64] };
        let key = || path(key);
        let requests = vec![
            encrypt(key(), None, b"plaintext"),
            TransitRequest::Decrypt { key: key(), items: vec![item(&sealed, b"", b"")] },
            TransitRequest::Rewrap { key: key(), items: vec![item(&sealed, b"", b"")] },
            TransitRequest::DataKey { key: key(), form: DataKeyForm::Plain, len: 32, items: vec![binding] },
            sign(key(), None, b"message", b""),
            verify(key(), b"message", b"", &signature),
            TransitRequest::Metadata { key: key() },
            TransitRequest::List { prefix: path("transit/web"), after: None },
            TransitRequest::Random { len: 32 },
            TransitRequest::Rotate { key: key() },
            TransitRequest::Import {
                key: key(),
                options: None,
                material: vouchsafe_protocol::kv::SecretValue::new(secret.to_vec()),
            },
        ];
        for request in requests {
            let said = format!("{request:?}");
            let replies = [rig.response_of(true, &request), rig.response_of(false, &request)];
            for reply in replies {
                assert!(!reply.windows(16).any(|part| secret[..16] == *part), "{kind:?} {said}");
            }
        }
        let exported = rig.response_of(true, &TransitRequest::Export { key: key(), version: Some(1) });
        assert!(exported.windows(32).any(|part| part == secret));
        // Operators bring keys and take none.
        rig.refuses_operator(TransitRequest::Export { key: key(), version: None }, RefusalCode::Denied);
    }
}

#[test]
fn export_and_import_are_refused_unless_the_key_was_made_for_them() {
    let mut rig = Rig::new();
    for kind in CIPHERS.into_iter().chain(SIGNERS) {
        let key = format!("transit/web/{}", kind.name());
        let closed = KeyOptions {
            export: Permission::Forbidden,
            import: Permission::Forbidden,
            ..options(kind, Derivation::None)
        };
        rig.create(&key, closed);
        let export = TransitRequest::Export { key: path(&key), version: None };
        rig.refuses_agent(export, RefusalCode::KeyUse);
        assert_eq!(rig.import(&key, None, &[7; 32]), Err(RefusalCode::KeyUse));
        let new = format!("{key}-new");
        assert_eq!(rig.import(&new, Some(closed), &[7; 32]), Err(RefusalCode::KeyUse));
        let open = KeyOptions { export: Permission::Allowed, import: Permission::Allowed, ..closed };
        rig.create(&new, open);
        let export = TransitRequest::Export { key: path(&new), version: None };
        let Ok(Reply::Transit(TransitReply::Exported { version: 1, material })) = rig.agent(export) else {
            panic!("no export")
        };
        // What was exported can be imported: the same key elsewhere.
        let copy = format!("{key}-copy");
        rig.import(&copy, Some(open), material.expose_secret()).unwrap();
        let wrong = [material.expose_secret(), &[0; 40]].concat();
        assert_eq!(rig.import(&new, None, &wrong), Err(RefusalCode::KeyMaterial), "{kind:?}");
        assert_eq!(rig.import(&new, None, &[7; 31]), Err(RefusalCode::KeyMaterial), "{kind:?}");
        if kind.encrypts() {
            continue;
        }
        let signature = rig.sign(&new, b"message", b"");
        assert_eq!(rig.verify(&copy, b"message", b"", &signature), Verdict::Valid, "{kind:?}");
    }
}

/// Every refusal of every request alone, each with a key that allows it but for one thing (V3).
#[test]
fn v3_a_refused_request_leaves_the_state_as_it_was() {
    let mut rig = Rig::new();
    let aes = options(KeyKind::Aes256Gcm, Derivation::None);
    rig.create("transit/web/aes", aes);
    rig.create("transit/web/sign", options(KeyKind::Ed25519, Derivation::None));
    let none = || path("transit/web/none");
    let key = || path("transit/web/aes");
    let signer = || path("transit/web/sign");
    let config = KeyConfig::default();
    let secret = || vouchsafe_protocol::kv::SecretValue::new(vec![1; 32]);
    let sealed = Ciphertext::new(vec![1; 60]);
    let signature = Signature { version: 1, bytes: vec![0; 64] };
    let not_found = RefusalCode::NotFound;
    let (key_use, large, settings) = (RefusalCode::KeyUse, RefusalCode::TooLarge, RefusalCode::Settings);
    let data_key = |key, len, count| TransitRequest::DataKey {
        key,
        form: DataKeyForm::Plain,
        len,
        items: vec![Binding::default(); count],
    };
    for (request, code) in [
        (create("transit/web/aes", aes), RefusalCode::Exists),
        (create("transit/web/x", KeyOptions { kind: KeyKind::RsaPss, ..aes }), RefusalCode::NotSupported),
        (create("transit/web/x", options(KeyKind::Ed25519, Derivation::Derived)), key_use),
        (create("transit/web/x", options(KeyKind::Hmac, Derivation::Convergent)), key_use),
        (TransitRequest::Configure { key: none(), config }, not_found),
        (TransitRequest::Configure { key: key(), config }, settings),
        (configure("transit/web/aes", KeyConfig { min_decrypt_version: Some(0), ..config }), settings),
        (configure("transit/web/aes", KeyConfig { min_decrypt_version: Some(2), ..config }), settings),
        (configure("transit/web/aes", KeyConfig { min_encrypt_version: Some(0), ..config }), settings),
        (configure("transit/web/aes", KeyConfig { min_encrypt_version: Some(2), ..config }), settings),
        (configure("transit/web/aes", KeyConfig { rotate_every_secs: Some(3599), ..config }), settings),
        (configure("transit/web/aes", KeyConfig { rotate_every_secs: Some(u64::MAX), ..config }), settings),
        (TransitRequest::Delete { key: none() }, not_found),
        (TransitRequest::Delete { key: key() }, key_use),
        (TransitRequest::Import { key: none(), options: None, material: secret() }, not_found),
        (TransitRequest::Import { key: key(), options: Some(aes), material: secret() }, RefusalCode::Exists),
        (TransitRequest::Metadata { key: none() }, not_found),
        (TransitRequest::Rotate { key: none() }, not_found),
        (trim("transit/web/none", 1), not_found),
        (trim("transit/web/aes", 0), settings),
        (trim("transit/web/aes", 1), settings),
        (trim("transit/web/aes", 2), settings),
        (
            TransitRequest::List { prefix: path("transit/web"), after: Some("a/b".to_owned()) },
            RefusalCode::Path,
        ),
        (TransitRequest::Rotate { key: path("kv/web/x") }, RefusalCode::Path),
        (TransitRequest::Rotate { key: path("transit") }, RefusalCode::Path),
        (TransitRequest::Rotate { key: path("transitx/y") }, RefusalCode::Path),
        (TransitRequest::Random { len: RANDOM_LEN.start() - 1 }, large),
        (TransitRequest::Random { len: RANDOM_LEN.end() + 1 }, large),
    ] {
        rig.refuses_operator(request, code);
    }
    for (request, code) in [
        (encrypt(none(), None, b"x"), not_found),
        (encrypt(key(), Some(2), b"x"), not_found),
        (encrypt(key(), Some(0), b"x"), not_found),
        (encrypt(signer(), None, b"x"), key_use),
        (TransitRequest::Encrypt { key: key(), version: None, items: vec![] }, large),
        (TransitRequest::Decrypt { key: none(), items: vec![item(&sealed, b"", b"")] }, not_found),
        (TransitRequest::Decrypt { key: signer(), items: vec![item(&sealed, b"", b"")] }, key_use),
        (TransitRequest::Decrypt { key: key(), items: vec![] }, large),
        (TransitRequest::Rewrap { key: none(), items: vec![item(&sealed, b"", b"")] }, not_found),
        (TransitRequest::Rewrap { key: signer(), items: vec![item(&sealed, b"", b"")] }, key_use),
        (TransitRequest::Rewrap { key: key(), items: vec![] }, large),
        (data_key(none(), 32, 1), not_found),
        (data_key(signer(), 32, 1), key_use),
        (data_key(key(), 15, 1), large),
        (data_key(key(), 65, 1), large),
        (data_key(key(), 32, 0), large),
        (sign(none(), None, b"x", b""), not_found),
        (sign(signer(), Some(2), b"x", b""), not_found),
        (sign(key(), None, b"x", b""), key_use),
        (TransitRequest::Sign { key: signer(), version: None, items: vec![] }, large),
        (verify(none(), b"x", b"", &signature), not_found),
        (verify(key(), b"x", b"", &signature), key_use),
        (TransitRequest::Verify { key: signer(), items: vec![] }, large),
        (TransitRequest::Export { key: none(), version: None }, not_found),
        (TransitRequest::Export { key: key(), version: None }, key_use),
    ] {
        rig.refuses_agent(request, code);
    }
}

/// Context and associated data are refused item by item, and the others go on.
#[test]
fn v3_items_of_a_batch_are_refused_alone() {
    let mut rig = Rig::new();
    rig.create("transit/web/plain", options(KeyKind::Aes256Gcm, Derivation::None));
    rig.create("transit/web/derived", options(KeyKind::Aes256Gcm, Derivation::Derived));
    let one = |context: &[u8], aad: &[u8]| EncryptItem {
        plaintext: vouchsafe_protocol::kv::SecretValue::new(b"x".to_vec()),
        binding: Binding { context: context.to_vec(), aad: aad.to_vec() },
    };
    let mut ask = |key: &str, items| {
        let before = rig.digest();
        let reply = rig.agent(TransitRequest::Encrypt { key: path(key), version: None, items }).unwrap();
        assert_eq!(rig.digest(), before, "using a key changes nothing");
        let Reply::Transit(TransitReply::Encrypted(items)) = reply else { panic!("another reply") };
        let refused = |item| match item {
            Item::Done(_) => None,
            Item::Refused(refusal) => Some(refusal),
        };
        items.into_iter().map(refused).collect::<Vec<_>>()
    };
    let (long, far) = ([0; TRANSIT_AAD_LEN + 1], [0; TRANSIT_CONTEXT_LEN + 1]);
    let (context, large) = (Some(ItemRefusal::Context), Some(ItemRefusal::TooLarge));
    let items = vec![one(b"", &long[1..]), one(b"c", b""), one(b"", &long), one(b"", b"")];
    assert_eq!(ask("transit/web/plain", items), [None, context, large, None]);
    let items = vec![one(&far[1..], b""), one(b"", b""), one(&far, b""), one(b"c", b"")];
    assert_eq!(ask("transit/web/derived", items), [None, context, large, None]);
}

#[test]
fn v6_a_batch_is_refused_while_it_is_read_and_has_a_limit() {
    let items = |count| {
        let item = || EncryptItem {
            plaintext: vouchsafe_protocol::kv::SecretValue::new(Vec::new()),
            binding: Binding::default(),
        };
        (0..count).map(|_| item()).collect::<Vec<_>>()
    };
    let request = |count| {
        Request::Transit(TransitRequest::Encrypt {
            key: path("transit/web/a"),
            version: None,
            items: items(count),
        })
    };
    let decodes =
        |count| codec::decode::<Request>(&codec::encode(&request(count)).unwrap(), SESSION_FRAME_LEN).is_ok();
    assert!(decodes(TRANSIT_ITEMS) && !decodes(TRANSIT_ITEMS + 1));
    let mut rig = Rig::new();
    rig.create("transit/web/a", options(KeyKind::Aes256Gcm, Derivation::None));
    let full =
        TransitRequest::Encrypt { key: path("transit/web/a"), version: None, items: items(TRANSIT_ITEMS) };
    assert!(rig.agent(full).is_ok());
}

#[test]
fn who_may_what_is_by_capability_and_operators_use_no_key() {
    let mut rig = Rig::with(&[("transit/web/*", &[Capability::Encrypt])]);
    for key in ["transit/web/a", "transit/other/a"] {
        rig.create(key, options(KeyKind::Aes256Gcm, Derivation::None));
    }
    let sealed = Ciphertext::new(vec![1; 60]);
    let signature = Signature { version: 1, bytes: vec![0; 64] };
    let key = || path("transit/web/a");
    let uses = || {
        vec![
            TransitRequest::Decrypt { key: key(), items: vec![item(&sealed, b"", b"")] },
            TransitRequest::Rewrap { key: key(), items: vec![item(&sealed, b"", b"")] },
            TransitRequest::DataKey {
                key: key(),
                form: DataKeyForm::Wrapped,
                len: 32,
                items: vec![Binding::default()],
            },
            sign(key(), None, b"x", b""),
            verify(key(), b"x", b"", &signature),
            TransitRequest::Export { key: key(), version: None },
        ]
    };
    for request in uses() {
        rig.refuses_agent(request, RefusalCode::Denied);
    }
    for request in uses() {
        rig.refuses_operator(request, RefusalCode::Denied);
    }
    rig.refuses_operator(encrypt(key(), None, b"x"), RefusalCode::Denied);
    rig.refuses_agent(encrypt(path("transit/other/a"), None, b"x"), RefusalCode::Denied);
    rig.refuses_agent(encrypt(path("transit/other/none"), None, b"x"), RefusalCode::Denied);
    for request in [
        create("transit/web/b", options(KeyKind::Aes256Gcm, Derivation::None)),
        rotate("transit/web/a"),
        trim("transit/web/a", 1),
        configure("transit/web/a", KeyConfig { rotate_every_secs: Some(0), ..KeyConfig::default() }),
        TransitRequest::Delete { key: key() },
        TransitRequest::Metadata { key: key() },
        TransitRequest::List { prefix: path("transit/web"), after: None },
    ] {
        rig.refuses_agent(request, RefusalCode::Denied);
    }
    assert!(rig.agent(encrypt(key(), None, b"x")).is_ok());
    for agent in [true, false] {
        let random = rig.response_of(agent, &TransitRequest::Random { len: 64 });
        assert!(random.len() > 64, "random bytes are for any identity");
    }
}

/// Lets the vault do everything that is due.
fn pass(rig: &mut Rig, now: u64) {
    while rig.vault.core.next_tick() <= now {
        rig.vault.core.tick(now, &mut KernelPorts).unwrap();
    }
    rig.vault.store();
    rig.vault.now = now;
    rig.renew();
}

#[test]
fn the_vault_rotates_by_itself_when_it_is_due() {
    let mut rig = Rig::new();
    let key = "transit/web/a";
    rig.create(key, options(KeyKind::EcdsaP256, Derivation::None));
    let every = |secs| KeyConfig { rotate_every_secs: Some(secs), ..KeyConfig::default() };
    rig.operator(configure(key, every(3600))).unwrap();
    assert!(rig.vault.core.next_tick() <= START + 3600);
    assert_eq!(rig.metadata(key).next_rotation_secs, Some(START + 3600));
    pass(&mut rig, START + 3599);
    assert_eq!(rig.metadata(key).current(), 1, "not yet");
    pass(&mut rig, START + 3600);
    let metadata = rig.metadata(key);
    assert_eq!((metadata.current(), metadata.next_rotation_secs), (2, Some(START + 7200)));
    assert_eq!(metadata.versions[1].created_secs, START + 3600);
    // What is due comes back with the state, and missed rotations are made up for by one.
    rig = rig.crash();
    assert!(rig.vault.core.next_tick() <= START + 7200);
    pass(&mut rig, START + 100_000);
    let metadata = rig.metadata(key);
    assert_eq!((metadata.current(), metadata.next_rotation_secs), (3, Some(START + 103_600)));
    rig.operator(configure(key, every(0))).unwrap();
    pass(&mut rig, START + 200_000);
    assert_eq!(rig.metadata(key).current(), 3, "no longer");
}

#[test]
fn a_key_with_all_versions_rotates_no_more_until_it_is_trimmed() {
    let mut rig = Rig::new();
    let key = "transit/web/a";
    rig.create(key, options(KeyKind::Hmac, Derivation::None));
    let every = KeyConfig { rotate_every_secs: Some(3600), ..KeyConfig::default() };
    rig.operator(configure(key, every)).unwrap();
    for step in 1..TRANSIT_VERSIONS as u64 {
        let now = START + step * 3600;
        while rig.vault.core.next_tick() <= now {
            rig.vault.core.tick(now, &mut KernelPorts).unwrap();
        }
    }
    // The identities have ended meanwhile.
    pass(&mut rig, START + TRANSIT_VERSIONS as u64 * 3600);
    assert_eq!(rig.metadata(key).versions.len(), TRANSIT_VERSIONS);
    assert_eq!(rig.metadata(key).next_rotation_secs, None);
    rig.refuses_operator(rotate(key), RefusalCode::TooLarge);
    let min = KeyConfig { min_decrypt_version: Some(10), ..KeyConfig::default() };
    rig.operator(configure(key, min)).unwrap();
    rig.operator(trim(key, 10)).unwrap();
    assert!(rig.metadata(key).next_rotation_secs.is_some());
    rig.rotate(key);
}

#[test]
fn keys_survive_a_crash_and_decrypt_what_they_sealed() {
    let mut rig = Rig::new();
    let mut sealed = Vec::new();
    for kind in CIPHERS {
        let key = format!("transit/web/{}", kind.name());
        rig.create(&key, options(kind, Derivation::None));
        sealed.push((key.clone(), rig.encrypt(&key, b"kept", b"", b"aad")));
        rig.rotate(&key);
    }
    let mut signed = Vec::new();
    for kind in SIGNERS {
        let key = format!("transit/web/{}", kind.name());
        rig.create(&key, options(kind, Derivation::None));
        signed.push((key.clone(), rig.sign(&key, b"message", b"")));
    }
    rig = rig.crash();
    for (key, sealed) in sealed {
        assert_eq!(rig.decrypt(&key, &sealed, b"", b"aad").as_deref(), Ok(b"kept".as_slice()));
    }
    for (key, signature) in signed {
        assert_eq!(rig.verify(&key, b"message", b"", &signature), Verdict::Valid);
        let again = rig.sign(&key, b"message", b"");
        assert_eq!(rig.verify(&key, b"message", b"", &again), Verdict::Valid);
    }
}

#[test]
fn the_log_has_one_entry_with_the_count_and_no_secret() {
    let mut rig = Rig::new();
    let key = "transit/web/a";
    rig.create(key, options(KeyKind::Aes256Gcm, Derivation::None));
    let sealed = rig.encrypt(key, b"planted-plaintext", b"", b"");
    let bad = Ciphertext::new(vec![1; 60]);
    let items = vec![item(&sealed, b"", b""), item(&bad, b"", b""), item(&sealed, b"", b"")];
    let request = TransitRequest::Decrypt { key: path(key), items };
    let receipt = rig.receipt_of(&request);
    let entry: AuditEntry = codec::decode(&receipt.entry, SESSION_FRAME_LEN).unwrap();
    assert!(matches!(entry.actor, Actor::Agent { .. }));
    let expected = Action::Transit {
        operation: TransitOperation::Decrypt,
        path: key.to_owned(),
        versions: vec![1],
        items: 3,
        failed: 1,
    };
    assert_eq!(entry.action, expected);
    let refused = TransitRequest::Sign { key: path(key), version: Some(7), items: vec![] };
    let entry: AuditEntry = codec::decode(&rig.receipt_of(&refused).entry, SESSION_FRAME_LEN).unwrap();
    let expected = Action::Transit {
        operation: TransitOperation::Sign,
        path: key.to_owned(),
        versions: vec![7],
        items: 0,
        failed: 0,
    };
    assert_eq!(entry.action, expected);
}

#[test]
fn names_come_in_pages_and_in_order() {
    let mut rig = Rig::new();
    for key in ["transit/web/b", "transit/web/a", "transit/web/a/x", "transit/web/a/y", "transit/web-2/z"] {
        rig.create(key, options(KeyKind::Hmac, Derivation::None));
    }
    let mut list = |prefix: &str, after: Option<&str>| {
        let request = TransitRequest::List { prefix: path(prefix), after: after.map(str::to_owned) };
        match rig.operator(request) {
            Ok(Reply::Transit(TransitReply::Names { names, more: false })) => names,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(list("transit", None), ["web-2/", "web/"]);
    assert_eq!(list("transit/web", None), ["a", "a/", "b"]);
    assert_eq!(list("transit/web", Some("a")), ["a/", "b"]);
    assert_eq!(list("transit/web", Some("a/")), ["b"]);
    assert_eq!(list("transit/web", Some("b")), [""; 0]);
}

/// Users keep ciphertexts and signatures for years: each line was made by the first version of the format. A line that
/// does not hold any more is a change of format, which needs a new format byte.
#[test]
fn golden_ciphertexts_and_signatures_of_every_kind_are_still_taken() {
    let mut rig = Rig::new();
    let golden = include_str!("golden/transit.txt");
    let mut count = 0;
    for line in golden.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let [kind, derivation, material, context, aad, message, made] =
            line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let kind = KeyKind::ALL.into_iter().find(|known| known.name() == kind).unwrap();
        let derivation = match derivation {
            "none" => Derivation::None,
            "derived" => Derivation::Derived,
            "convergent" => Derivation::Convergent,
            other => panic!("{other}"),
        };
        let [material, context, aad, message, made] = [material, context, aad, message, made].map(unhex);
        let key = &format!("transit/web/golden/{}-{derivation:?}", kind.name());
        let may = KeyOptions { import: Permission::Allowed, ..options(kind, derivation) };
        rig.import(key, Some(may), &material).unwrap();
        if kind.encrypts() {
            let sealed = Ciphertext::new(made);
            assert_eq!(rig.decrypt(key, &sealed, &context, &aad).as_ref(), Ok(&message), "{line}");
            if derivation == Derivation::Convergent {
                assert_eq!(rig.encrypt(key, &message, &context, &aad), sealed, "{line}");
            }
        } else {
            let signature = Signature { version: 1, bytes: made };
            assert_eq!(rig.verify(key, &message, &context, &signature), Verdict::Valid, "{line}");
            if matches!(kind, KeyKind::Hmac | KeyKind::Ed25519) {
                assert_eq!(rig.sign(key, &message, &context), signature, "{line}");
            }
        }
        count += 1;
    }
    assert_eq!(count, 12, "one line for each kind and derivation");
}

/// Prints new golden lines; `cargo test -p vouchsafe-enclave --test transit -- --ignored --nocapture`.
#[test]
#[ignore = "only makes golden lines for a new format"]
fn make_golden_lines() {
    let mut rig = Rig::new();
    for kind in KeyKind::ALL {
        for derivation in [Derivation::None, Derivation::Derived, Derivation::Convergent] {
            let fits = derivation == Derivation::None
                || kind.encrypts()
                || derivation == Derivation::Derived && kind.derives();
            if !fits {
                continue;
            }
            let key = &format!("transit/web/golden/{}-{derivation:?}", kind.name());
            let may = KeyOptions {
                import: Permission::Allowed,
                export: Permission::Allowed,
                ..options(kind, derivation)
            };
            if kind.can_be_made() {
                rig.create(key, may);
            } else {
                rig.import(key, Some(may), RSA_PKCS8).unwrap();
            }
            let export = TransitRequest::Export { key: path(key), version: None };
            let Ok(Reply::Transit(TransitReply::Exported { material, .. })) = rig.agent(export) else {
                panic!()
            };
            let context: &[u8] = if derivation == Derivation::None { b"" } else { b"tenant" };
            let (aad, made): (&[u8], _) = if kind.encrypts() {
                (b"aad", rig.encrypt(key, b"message", context, b"aad").into_bytes())
            } else {
                (b"", rig.sign(key, b"message", context).bytes)
            };
            let derivation = format!("{derivation:?}").to_lowercase();
            let fields = [material.expose_secret(), context, aad, b"message", &made].map(tohex).join(" ");
            println!("{} {derivation} {fields}", kind.name());
        }
    }
}
