//! The running vault: state, log, sessions and time, put together.

use std::collections::HashMap;
use std::sync::Arc;

use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::{P256Key, P256PublicKey};
use vouchsafe_log::FrameError;
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::introduction::SignedVault;
use vouchsafe_protocol::lease::Lease;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{Action, Actor, AuditEntry, Decision, PolicyRule, RequestRef};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::session::{AgentFrame, Outcome, Reply, Response, vault_frame};
use zeroize::Zeroizing;

use crate::boot::PlatformName;
use crate::challenge::{Consumed, OpenedChallenge};
use crate::change::{Change, Identity, MarkKind};
use crate::introduce::{Introducer, Shared};
use crate::journal::{Cut, Durable, Journal, Pending, PendingBody, ReceiptSlot};
use crate::kv::Watches;
use crate::ports::{self, Ports};
use crate::revocation::REVOKED;
use crate::session::{Session, SessionId};
use crate::space::Space;
use crate::standing::Chores;
use crate::state::{Inconsistent, State};

/// Identities that one record ends.
const REVOKED_TOGETHER: usize = 10_000;
/// Two boots of one TPM's key are alive.
pub(crate) const TWO_BOOTS: &str = "tpm.clock.two-boots";
/// An identity of a boot after which a later one was seen.
const OLDER_BOOT: &str = "tpm.clock.older-boot";

/// A serving vault. Every call is short and does no I/O; the caller holds one lock around it.
pub struct Core {
    state: State,
    journal: Journal,
    shared: Arc<Shared>,
    sessions: HashMap<SessionId, Session>,
    next_session: u64,
    consumed: Consumed,
    pub(crate) watches: Watches,
    pub(crate) audit_key: Key32,
    pub(crate) platform: PlatformName,
    pub(crate) measurement: String,
    tls_key: P256Key,
    pub(crate) chores: Chores,
    pub(crate) space: Space,
    pub(crate) ask_space_at: u64,
    /// The latest time seen; time never goes back inside (H6).
    clock: u64,
    /// The epoch's end is recorded: nothing may come after it.
    ended: bool,
}

pub(crate) struct Parts {
    pub state: State,
    pub journal: Journal,
    pub shared: Arc<Shared>,
    pub tls_key: P256Key,
    pub audit_key: Key32,
    pub platform: PlatformName,
    pub measurement: String,
    pub clock: u64,
}

/// What became of a session's frame.
pub enum Handled {
    /// A signature was taken; there is nothing to say.
    Nothing,
    /// A reply, once its log entry is durable.
    Reply(Pending),
    /// The host has to be asked for stored frames first.
    Fetch(PendingFetch),
    /// The host has to be asked for its streams first.
    Streams(PendingStreams),
    /// Release this reply, then end the epoch and forget everything.
    Seal(Pending),
}

/// A reply that will carry frames as the host has them; the auditor who asked verifies them.
pub struct PendingFetch {
    /// Which stream.
    pub stream: StreamId,
    /// From which index.
    pub from: u64,
    reply: Unanswered,
}

/// A reply that will carry the host's list of streams.
pub struct PendingStreams {
    reply: Unanswered,
}

/// Where a reply belongs.
struct Unanswered {
    need: Durable,
    number: u64,
    link: [u8; 32],
}

impl Unanswered {
    fn answer(self, outcome: Outcome) -> Pending {
        let Self { need, number, link } = self;
        Pending::new(need, PendingBody::Session { number, link, outcome, receipt: None, lease: None })
    }
}

impl PendingFetch {
    /// Completes the reply with what the host gave.
    #[must_use]
    pub fn complete(self, frames: Vec<Vec<u8>>) -> Pending {
        self.reply.answer(Outcome::Done(Reply::AuditFrames(frames)))
    }

    /// The host gave nothing.
    #[must_use]
    pub fn fail(self) -> Pending {
        self.reply.answer(Outcome::Refused(RefusalCode::Storage.into()))
    }
}

impl PendingStreams {
    /// Completes the reply with what the host gave.
    #[must_use]
    pub fn complete(self, streams: Vec<(StreamId, u64)>) -> Pending {
        self.reply.answer(Outcome::Done(Reply::AuditStreams(streams)))
    }

    /// The host gave nothing.
    #[must_use]
    pub fn fail(self) -> Pending {
        self.reply.answer(Outcome::Refused(RefusalCode::Storage.into()))
    }
}

/// A session has to end: send the last words, if any, and close the connection.
pub struct SessionEnd {
    /// Why.
    pub refusal: Refusal,
    /// One last frame for the agent. It holds nothing but the refusal, so it waits for no log.
    pub last_words: Option<Zeroizing<Vec<u8>>>,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            state: parts.state,
            journal: parts.journal,
            shared: parts.shared,
            sessions: HashMap::new(),
            next_session: 1,
            consumed: Consumed::default(),
            watches: Watches::default(),
            audit_key: parts.audit_key,
            platform: parts.platform,
            measurement: parts.measurement,
            tls_key: parts.tls_key,
            chores: Chores::for_all(),
            space: Space::default(),
            ask_space_at: 0,
            clock: parts.clock,
            ended: false,
        }
    }

    /// The time inside, in seconds since 1970: never behind any record of the journal. Whoever checks a time
    /// for this vault uses it, or a later one.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// Id.
    #[must_use]
    pub fn vault_id(&self) -> VaultId {
        self.state.vault_id
    }

    /// DER of the authority's certificate.
    #[must_use]
    pub fn authority(&self) -> &[u8] {
        self.state.authority.certificate()
    }

    /// Certificate chain (DER, leaf first) and key for the inner TLS; new at every start.
    ///
    /// # Errors
    /// [`RefusalCode::Busy`] if no certificate could be made.
    pub fn tls_identity(&self) -> Result<(Vec<Vec<u8>>, &P256Key), RefusalCode> {
        let public = P256PublicKey::from_spki(&self.tls_key.spki()).map_err(|_| RefusalCode::Busy)?;
        let leaf = self.state.authority.issue_server(&public, self.clock).map_err(|_| RefusalCode::Busy)?;
        Ok((vec![leaf, self.authority().to_vec()], &self.tls_key))
    }

    /// The answer to `Init`, once its frames are durable.
    ///
    /// # Errors
    /// [`RefusalCode`] if it cannot be signed.
    pub fn init_done(&self) -> Result<SignedVault, RefusalCode> {
        self.shared.init_done()
    }

    /// What the platform's counter must show once the newest mark is durable and counted; `None` without one.
    #[must_use]
    pub fn expected_counter(&self) -> Option<u64> {
        self.state.expected_counter()
    }

    /// SHA-256 over the whole state: equal states have equal digests. A refused request leaves it as it was.
    #[must_use]
    pub fn state_digest(&self) -> [u8; 32] {
        self.state.digest()
    }

    /// Answers hellos and verifies proofs, without this core's lock, on the roles as they are now.
    #[must_use]
    pub fn introducer(&self) -> Introducer {
        Introducer {
            shared: self.shared.clone(),
            roles: self.state.roles.clone(),
            collateral: self.state.collateral.clone(),
        }
    }

    /// Opens a session for the holder of a certificate that this vault issued. The caller has verified the
    /// chain and the TLS handshake; `exporter` is the TLS exporter value that starts the request chain.
    ///
    /// # Errors
    /// [`RefusalCode::Identity`] for any certificate but exactly one that was issued and has not ended (B9);
    /// [`RefusalCode::EvidenceExpired`]; [`RefusalCode::Busy`] after [`Core::end`].
    pub fn open_session(
        &mut self,
        certificate: &[u8],
        exporter: [u8; 32],
        now: u64,
    ) -> Result<SessionId, Refusal> {
        let now = self.advance_clock(now);
        if self.ended {
            return Err(RefusalCode::Busy.into());
        }
        let digest = sha256(&[certificate]);
        let known = self.state.identities.of_certificate(&digest).ok_or(RefusalCode::Identity)?;
        if self.state.revocations.end_identity(known) {
            return Err(Refusal { code: RefusalCode::Identity, rule: Some(REVOKED.to_owned()) });
        }
        self.check_space(&known.subject)?;
        let identity = known.clone();
        // An identity does not outlive the boot that it was issued for (T11).
        if identity.clock.is_some_and(|clock| self.state.clocks.was_left_behind(&clock)) {
            return Err(Refusal { code: RefusalCode::Identity, rule: Some(OLDER_BOOT.to_owned()) });
        }
        let session = Session::open(identity, exporter)?;
        session.check_alive(now)?;
        let id = SessionId(self.next_session);
        self.next_session += 1;
        self.sessions.insert(id, session);
        Ok(id)
    }

    /// Handles one frame of a session.
    ///
    /// # Errors
    /// [`SessionEnd`]: the session is over.
    pub fn frame(
        &mut self,
        id: SessionId,
        frame: &[u8],
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<Handled, SessionEnd> {
        let now = self.advance_clock(now);
        if self.ended {
            return Err(silent(RefusalCode::Busy));
        }
        match AgentFrame::parse(frame) {
            Ok(AgentFrame::Request { number, link, receipt, body }) => {
                let advanced = self.session(id)?.advance(number, link, receipt, body, now);
                advanced.map_err(|code| last_words(code, number, &link))?;
                let subject =
                    &self.sessions.get(&id).ok_or_else(|| silent(RefusalCode::Identity))?.identity.subject;
                self.check_space_for(subject, body).map_err(|code| last_words(code, number, &link))?;
                let session = self.session(id)?.name();
                let place = RequestRef { session, number, receipt, digest: sha256(&[body]) };
                let receipt = receipt.then(ReceiptSlot::default);
                Ok(self.request(id, Asked { place, link, receipt }, body, now, ports))
            }
            Ok(AgentFrame::Signature { upto, signature }) => {
                let session = self.session(id)?;
                let action = session.sign(upto, signature).map_err(silent)?;
                let actor = session.actor();
                let what = (actor, None, action, Decision::Allowed);
                let entry = self.entry(what, now, ports).map_err(silent)?;
                self.journal.access(&entry, None);
                Ok(Handled::Nothing)
            }
            Err(_) => Err(silent(RefusalCode::Malformed)),
        }
    }

    /// Forgets a session.
    pub fn close_session(&mut self, id: SessionId) {
        self.sessions.remove(&id);
        self.watches.forget(id);
    }

    /// When the session must be looked at by [`Core::expire`] unless a frame comes first, in seconds since 1970.
    #[must_use]
    pub fn next_deadline(&self, id: SessionId) -> u64 {
        self.sessions.get(&id).map_or(0, Session::deadline)
    }

    /// Why the session must end now, if it must; trust ends at its deadline even if nothing is asked (F7).
    pub fn expire(&mut self, id: SessionId, now: u64) -> Option<Refusal> {
        let now = self.advance_clock(now);
        let Some(session) = self.sessions.get(&id) else { return Some(RefusalCode::Identity.into()) };
        session.check_deadline(now).err().map(Refusal::from)
    }

    /// Everything that waits to be stored, sealed; `None` if nothing does.
    ///
    /// # Errors
    /// [`FrameError`]: the core must be dropped.
    pub fn cut(&mut self) -> Result<Option<Cut>, FrameError> {
        self.journal.cut()
    }

    /// Ends the epoch in order: a mark that must be the last thing stored, so that an older copy is noticed.
    /// From here on every frame, session and proof is refused: what came after the mark could be cut off.
    ///
    /// # Errors
    /// [`RefusalCode::Busy`] without randomness; [`RefusalCode::Storage`] if the state is inconsistent.
    pub fn end(&mut self, now: u64, ports: &mut dyn Ports) -> Result<(), RefusalCode> {
        let now = self.advance_clock(now);
        let blind = ports::array(ports).map_err(|_| RefusalCode::Busy)?;
        record_mark(&mut self.state, &mut self.journal, MarkKind::End, blind, now)
            .map_err(|_| RefusalCode::Storage)?;
        self.ended = true;
        Ok(())
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Number and key of a session's identity.
    pub(crate) fn session_identity(&self, id: SessionId) -> Option<(u64, &P256PublicKey)> {
        self.sessions.get(&id).map(|session| (session.identity.number, session.key()))
    }

    /// The identity that a session rests on.
    pub(crate) fn newest_of(&self, id: SessionId) -> Option<&Identity> {
        self.state.identities.get(self.sessions.get(&id)?.newest())
    }

    /// The attestation key of the TPM behind a session, if a later boot of it was seen than the session's.
    pub(crate) fn left_behind(&self, id: SessionId) -> Option<[u8; 32]> {
        let clock = self.sessions.get(&id)?.identity.clock?;
        self.state.clocks.was_left_behind(&clock).then_some(clock.key)
    }

    /// The key that signs attestation results, and its certificate.
    pub(crate) fn result_signer(&self) -> (&P256Key, &[u8]) {
        (&self.shared.signing_key, &self.shared.signing_certificate)
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(crate) fn session_count(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn session(&mut self, id: SessionId) -> Result<&mut Session, SessionEnd> {
        self.sessions.get_mut(&id).ok_or_else(|| silent(RefusalCode::Identity))
    }

    /// Sessions of the same key and role rest on this identity from now on.
    pub(crate) fn renew_sessions(&mut self, identity: &Identity) {
        self.sessions.values_mut().for_each(|session| session.renew(identity));
    }

    pub(crate) fn advance_clock(&mut self, now: u64) -> u64 {
        self.clock = self.clock.max(now);
        self.clock
    }

    pub(crate) fn consume(&mut self, challenge: &OpenedChallenge, now: u64) -> Result<(), RefusalCode> {
        self.consumed.consume(challenge, now)
    }

    pub(crate) fn durable_now(&self) -> Durable {
        self.journal.need()
    }

    pub(crate) fn entry(
        &self,
        (actor, request, action, decision): (Actor, Option<RequestRef>, Action, Decision),
        at_secs: u64,
        ports: &mut dyn Ports,
    ) -> Result<AuditEntry, RefusalCode> {
        let blind = ports::array(ports).map_err(|_| RefusalCode::Busy)?;
        let (rule, lease) = (PolicyRule::None, None);
        Ok(AuditEntry { blind, at_secs, actor, request, action, decision, rule, lease })
    }

    pub(crate) fn log_access(&mut self, entry: &AuditEntry, receipt: Option<ReceiptSlot>) -> Durable {
        self.journal.access(entry, receipt)
    }

    /// Ends identities before their time, and their sessions: durably, and with an entry that says by which rule.
    pub(crate) fn revoke(
        &mut self,
        identities: Vec<u64>,
        rule: &'static str,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<(), RefusalCode> {
        // However many there are, each record of them fits a frame.
        for some in identities.chunks(REVOKED_TOGETHER) {
            let action = Action::Revoke { identities: some.to_vec(), rule: rule.to_owned() };
            let entry = self.entry((Actor::Vault, None, action, Decision::Allowed), now, ports)?;
            self.sessions.retain(|_, session| !some.contains(&session.newest()));
            self.commit(&entry, &Change::Revoke { identities: some.to_vec() }, None);
        }
        Ok(())
    }

    /// Applies a change and logs it. The change was planned against this very state, so applying it cannot
    /// fail; if it does all the same, memory can no longer be trusted and the process stops.
    pub(crate) fn commit(
        &mut self,
        entry: &AuditEntry,
        change: &Change,
        receipt: Option<ReceiptSlot>,
    ) -> Durable {
        let need = self.journal.change(entry, change, receipt);
        #[expect(clippy::expect_used, reason = "a broken invariant inside the core stops the enclave")]
        self.state.apply(change).expect("a planned change fits the state");
        self.watches.follow(change);
        if matches!(change, Change::Roles(_)) {
            self.chores = Chores::for_all();
        }
        need
    }
}

/// A request's place in its session.
pub(crate) struct Asked {
    pub place: RequestRef,
    pub link: [u8; 32],
    /// Where the receipt will be, if one was asked for.
    pub receipt: Option<ReceiptSlot>,
}

impl Asked {
    pub fn fetch(self, need: Durable, stream: StreamId, from: u64) -> Handled {
        Handled::Fetch(PendingFetch { stream, from, reply: self.unanswered(need) })
    }

    pub fn streams(self, need: Durable) -> Handled {
        Handled::Streams(PendingStreams { reply: self.unanswered(need) })
    }

    pub fn answer(self, need: Durable, outcome: Outcome, lease: Option<Lease>) -> Pending {
        let Self { place: RequestRef { number, .. }, link, receipt } = self;
        Pending::new(need, PendingBody::Session { number, link, outcome, receipt, lease })
    }

    fn unanswered(self, need: Durable) -> Unanswered {
        Unanswered { need, number: self.place.number, link: self.link }
    }
}

/// Writes the begin or the end of an epoch.
pub(crate) fn record_mark(
    state: &mut State,
    journal: &mut Journal,
    kind: MarkKind,
    blind: [u8; 16],
    at_secs: u64,
) -> Result<(), Inconsistent> {
    let mark = state.mark.checked_add(1).ok_or(Inconsistent)?;
    let action = match kind {
        MarkKind::Begin => Action::EpochBegin { epoch: mark },
        MarkKind::End => {
            let (access_size, access_root) = journal.access_head();
            Action::EpochEnd { epoch: state.mark, access_size, access_root }
        }
    };
    let entry = AuditEntry {
        blind,
        at_secs,
        actor: Actor::Vault,
        request: None,
        action,
        decision: Decision::Allowed,
        rule: PolicyRule::None,
        lease: None,
    };
    let change = Change::Mark { mark, kind };
    state.apply(&change)?;
    journal.change(&entry, &change, None);
    Ok(())
}

/// Ends a session without a word: what came was no request.
fn silent(code: RefusalCode) -> SessionEnd {
    SessionEnd { refusal: code.into(), last_words: None }
}

/// Ends a session with the refusal of its last request.
fn last_words(code: RefusalCode, number: u64, link: &[u8; 32]) -> SessionEnd {
    let response = Response { outcome: Outcome::Refused(code.into()), receipt: None, lease: None };
    let encoded = vouchsafe_protocol::codec::encode(&response).ok();
    let last_words = encoded.map(|response| Zeroizing::new(vault_frame(number, link, &response)));
    SessionEnd { refusal: code.into(), last_words }
}
