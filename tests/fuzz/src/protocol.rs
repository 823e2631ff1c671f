//! Wire messages: what decodes has this one encoding.

use core::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::frame::{HEADER_LEN, body_len};
use vouchsafe_protocol::id::{RoleName, VaultId};
use vouchsafe_protocol::introduction::{
    Grant, Hello, InitRequest, IntroductionReply, IntroductionRequest, Offer, OfferBody, ProveBody,
    VaultStatement,
};
use vouchsafe_protocol::limits::{
    INTRODUCTION_FRAME_LEN, JOURNAL_FRAME_LEN, LINK_FRAME_LEN, SESSION_FRAME_LEN,
};
use vouchsafe_protocol::link::{LinkHello, StorageReply, StorageRequest};
use vouchsafe_protocol::log::{AuditEntry, Receipt, SealedFrame};
use vouchsafe_protocol::path::{NoAttributes, Path, Pattern};
use vouchsafe_protocol::policy::Role;
use vouchsafe_protocol::policy_check::check_role;
use vouchsafe_protocol::session::{AgentFrame, Request, Response, parse_vault_frame, vault_frame};

use crate::{Target, ignore};

pub(crate) const TARGETS: &[Target] = &[
    ("introduction-request", |data| decode::<IntroductionRequest>(data, INTRODUCTION_FRAME_LEN)),
    ("introduction-reply", |data| decode::<IntroductionReply>(data, INTRODUCTION_FRAME_LEN)),
    ("introduction-parts", introduction_parts),
    ("session-frame", session_frame),
    ("session-request", |data| decode::<Request>(data, SESSION_FRAME_LEN)),
    ("session-response", |data| decode::<Response>(data, SESSION_FRAME_LEN)),
    ("storage-request", storage_request),
    ("storage-reply", |data| decode::<StorageReply>(data, LINK_FRAME_LEN)),
    ("sealed-frame", |data| decode::<SealedFrame>(data, JOURNAL_FRAME_LEN)),
    ("audit-entry", |data| decode::<AuditEntry>(data, JOURNAL_FRAME_LEN)),
    ("role", role),
    ("path", path),
];

pub(crate) fn decode<T: Serialize + DeserializeOwned>(data: &[u8], limit: usize) {
    if let Ok(message) = codec::decode::<T>(data, limit) {
        assert_eq!(codec::encode(&message).as_deref(), Ok(data), "one encoding");
    }
}

fn introduction_parts(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let limit = INTRODUCTION_FRAME_LEN;
    match kind % 8 {
        0 => decode::<Hello>(data, limit),
        1 => decode::<Offer>(data, limit),
        2 => decode::<OfferBody>(data, limit),
        3 => decode::<ProveBody>(data, limit),
        4 => decode::<Grant>(data, limit),
        5 => decode::<InitRequest>(data, limit),
        6 => decode::<VaultStatement>(data, limit),
        _ => {
            decode::<Evidence>(data, limit);
            decode::<Receipt>(data, limit);
        }
    }
}

fn session_frame(data: &[u8]) {
    if let Some((header, _)) = data.split_first_chunk::<HEADER_LEN>() {
        assert!(
            body_len(*header, SESSION_FRAME_LEN).is_err()
                || u32::from_be_bytes(*header) as usize <= SESSION_FRAME_LEN
        );
    }
    if let Ok(frame) = AgentFrame::parse(data) {
        assert_eq!(frame.to_bytes(), data, "one encoding");
    }
    if let Ok((number, link, body)) = parse_vault_frame(data) {
        assert_eq!(vault_frame(number, &link, body), data, "one encoding");
    }
}

fn storage_request(data: &[u8]) {
    decode::<StorageRequest>(data, LINK_FRAME_LEN);
    decode::<LinkHello>(data, LINK_FRAME_LEN);
}

fn role(data: &[u8]) {
    decode::<Role>(data, SESSION_FRAME_LEN);
    if let Ok(role) = codec::decode::<Role>(data, SESSION_FRAME_LEN) {
        // Accepted or refused, without a panic.
        ignore(check_role(&role));
    }
}

/// Two texts, one to a line: what parses is itself when written, and a pattern covers paths, not spellings.
fn path(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    if let Ok(path) = Path::from_str(first) {
        assert_eq!(path.to_string(), first, "one spelling");
        if let Ok(pattern) = Pattern::from_str(second) {
            assert_eq!(pattern.to_string(), second, "one spelling");
            let again = Path::from_str(path.as_str()).unwrap();
            let none = &NoAttributes;
            assert_eq!(pattern.matches(&path, none), pattern.matches(&again, none));
            assert!(pattern.meets(&pattern));
        }
    }
    ignore(Pattern::from_str(first));
    if let Ok(id) = VaultId::from_str(first) {
        assert_eq!(id.to_string(), first, "one spelling");
    }
    ignore(RoleName::from_str(first));
}
